package smppserver

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

// takeEvent learns what became of a message, and returns when the customer has the
// receipts that it asked for. An event that comes again changes nothing.
func (e *engine) takeEvent(ctx context.Context, in *arrival) error {
	ev := in.Event
	c := e.customers[ev.RoutingMetadata.Text(helperKey)] // nil where its transport returns no metadata
	if c != nil && in.from == nil && !c.keepsUp() {
		select {
		case e.recording <- struct{}{}:
			defer func() { <-e.recording }()
		default: // query_sm does not know it before the receipt is delivered
			return e.put(ctx, c, in, 0)
		}
	}
	rec, err := e.record(ctx, ev.MessageID)
	if err != nil {
		return err
	}
	if rec == nil {
		e.log.Info("an event is dropped: no customer submitted its message, or it is forgotten (remember_for)", "message_id", ev.MessageID)
		return nil
	}
	if c = e.customers[rec.Customer]; c == nil {
		return message.Permanent(fmt.Errorf("customer %s, who submitted message %s, is no longer in the file", rec.Customer, ev.MessageID))
	}
	if !rec.learn(ev, c.ReceiptOnAck) {
		return nil
	}
	if ev.Type == message.Nack {
		e.log.Info("a customer's message was refused", "customer", c.systemID, "message_id", ev.MessageID, "reason", ev.NackReason)
	}
	list := c.receipts(rec)
	if len(list) == 0 {
		return e.recordState(ctx, ev.MessageID, rec)
	}
	now, err := e.admit(c, in)
	if err != nil {
		return err
	}
	if !now {
		if rec.final() {
			if err := e.recordState(ctx, ev.MessageID, rec); err != nil {
				return err
			}
		}
		return e.put(ctx, c, in, 0)
	}
	d := c.flight(kindReceipt, ev.MessageID)
	if d == nil {
		d = in.delivery(c, kindReceipt)
		d.record = rec
		e.deliver(c, d, list, func(ctx context.Context) error {
			rec.receipted(list)
			return e.recordState(ctx, ev.MessageID, rec)
		})
	}
	return e.conclude(ctx, c, in, d)
}

// maxRecording is how many events of customers who are not there are recorded at once, for
// query_sm. More of them move to the customers' queues as they are.
const maxRecording = 50

func (e *engine) recordState(ctx context.Context, messageID string, r *record) error {
	if err := e.state.Set(ctx, e.recordEntry(messageID, r)); err != nil {
		return fmt.Errorf("remembering what became of message %s: %w", messageID, err)
	}
	return nil
}

// receipted notes which receipts the customer has taken.
func (r *record) receipted(list []*deliverSM) {
	for i := range r.Parts {
		if slices.ContainsFunc(list, func(s *deliverSM) bool { return s.taken && s.id == r.Parts[i].ID }) && r.final() {
			r.Parts[i].Receipted = true
		}
	}
}

// learn updates the record by an event; false when nothing is new. States never go
// backwards. A final state is news until its receipts are delivered.
func (r *record) learn(ev *message.Event, ackIsLast bool) bool {
	state, last := pdu.StateEnroute, false
	switch {
	case ev.Type == message.Ack && ackIsLast:
		state, last = pdu.StateDelivered, true
	case ev.Type == message.Nack:
		state, last = pdu.StateRejected, true
	case ev.Type == message.DeliveryReport:
		state, last = reported(ev)
	}
	if r.final() || !last && state == r.State {
		return r.final() && last
	}
	r.State = state
	if last {
		r.Done = ev.Timestamp
		if r.Done.IsZero() {
			r.Done = time.Now()
		}
		r.Error = errorCode(ev)
	}
	return true
}

// reported returns the state for a delivery report. The SMSC's own word, where the transport
// passes it on, is more exact than "failed"; ACCEPTD would be a success to its reader.
func reported(ev *message.Event) (state pdu.MessageState, last bool) {
	switch ev.DeliveryStatus {
	case message.Delivered:
		return pdu.StateDelivered, true
	case message.Failed:
	default:
		return pdu.StateEnroute, false
	}
	word := strings.ToUpper(ev.TransportMetadata.Text("smpp_delivery_status"))
	for _, s := range [...]pdu.MessageState{
		pdu.StateExpired, pdu.StateDeleted, pdu.StateUndeliverable, pdu.StateUnknown, pdu.StateRejected,
	} {
		if strings.HasPrefix(word, receipt.Word(s)[:5]) { // EXPIRED, EXPIRE, …
			return s, true
		}
	}
	return pdu.StateUndeliverable, true
}

func errorCode(ev *message.Event) string {
	extra := ev.Extra()
	return cmp.Or(ev.TransportMetadata.Text("smpp_error_code"), extra.Text("failure_code"))
}

// wanted reports whether a submit asked for a receipt of the present state
// (§5.2.17).
func (r *record) wanted(d pdu.RegisteredDelivery) bool {
	if !r.final() {
		return d&pdu.ReceiptIntermediate != 0
	}
	switch d & pdu.ReceiptSuccess {
	case pdu.ReceiptFinal:
		return true
	case pdu.ReceiptFailure:
		return r.State != pdu.StateDelivered
	case pdu.ReceiptSuccess:
		return r.State == pdu.StateDelivered
	}
	return false
}

// receipts returns the receipts for the submits of a message that the customer does not
// have.
func (c *customer) receipts(r *record) (list []*deliverSM) {
	for _, p := range r.Parts {
		if r.wanted(p.Registered) && !p.Receipted {
			list = append(list, &deliverSM{id: p.ID, body: c.receipt(r, p.ID)})
		}
	}
	return list
}

// receipt makes the receipt for one submit of a message.
func (c *customer) receipt(r *record, id string) *pdu.DeliverSM {
	m := pdu.Message{ServiceType: r.Service, Source: r.Dest, Dest: r.Source, ESMClass: pdu.ESMReceipt}
	said := receipt.Receipt{ID: id, Error: r.Error, Submitted: r.Submitted, Done: r.Done, Text: r.Text}
	if !r.final() {
		m.ESMClass, said.Done = pdu.ESMIntermediate, time.Now()
	}
	var text string
	text, m.TLVs = said.Write(r.State)
	coding := gsm.Encoding{Coding: c.codes}
	octets, err := coding.Encode(text)
	if err != nil { // the coding has not all characters of the message
		octets, _ = coding.Encode(strings.TrimSuffix(text, r.Text))
	}
	m.ShortMessage = octets[:min(len(octets), smpp.MaxShortMessage)]
	return &pdu.DeliverSM{Message: m}
}
