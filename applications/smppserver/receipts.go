package smppserver

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

// takeEvent records what became of a message and queues the receipts that were
// asked for, in one step: an event that comes again changes nothing.
func (e *engine) takeEvent(ctx context.Context, ev *message.Event) error {
	r, err := e.record(ctx, ev.MessageID)
	if err != nil {
		return err
	}
	if r == nil {
		e.log.Info("an event is dropped: no customer submitted its message, or it is forgotten (remember_for)", "message_id", ev.MessageID)
		return nil
	}
	c := e.customers[r.Customer]
	if c == nil {
		e.log.Warn("an event is dropped: its customer is no longer in the file", "customer", r.Customer, "message_id", ev.MessageID)
		return nil
	}
	if !r.learn(ev, c.ReceiptOnAck) {
		return nil
	}
	if ev.Type == message.Nack {
		e.log.Info("a customer's message was refused", "customer", c.systemID, "message_id", ev.MessageID, "reason", ev.NackReason)
	}
	entry := e.recordEntry(ev.MessageID, r)
	list := c.receipts(r)
	if len(list) == 0 {
		if err := e.state.Set(ctx, entry); err != nil {
			return fmt.Errorf("remembering what became of message %s: %w", ev.MessageID, err)
		}
		return nil
	}
	return c.queue.add(ctx, list, entry)
}

// learn updates the record by an event; false when nothing is new. States never go
// backwards.
func (r *record) learn(ev *message.Event, ackIsLast bool) bool {
	if r.final() {
		return false
	}
	state, last := pdu.StateEnroute, false
	switch {
	case ev.Type == message.Ack && ackIsLast:
		state, last = pdu.StateDelivered, true
	case ev.Type == message.Nack:
		state, last = pdu.StateRejected, true
	case ev.Type == message.DeliveryReport:
		state, last = reported(ev)
	}
	if !last && state == r.State {
		return false
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

// reported returns the state for a delivery report. Where the transport passes the
// SMSC's own word on, that is more exact than "failed".
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
		pdu.StateExpired, pdu.StateDeleted, pdu.StateUndeliverable, pdu.StateAccepted, pdu.StateUnknown, pdu.StateRejected,
	} {
		if strings.HasPrefix(word, receipt.Word(s)[:5]) { // EXPIRED, EXPIRE, …
			return s, true
		}
	}
	return pdu.StateUndeliverable, true
}

func errorCode(ev *message.Event) string {
	if code := ev.TransportMetadata.Text("smpp_error_code"); code != "" {
		return code
	}
	extra := ev.Extra()
	return extra.Text("failure_code")
}

// networkCode returns an error code as a number.
func networkCode(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil
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

// receipts returns the receipts for all submits of a message.
func (c *customer) receipts(r *record) (list []deliverSM) {
	for _, p := range r.Parts {
		if r.wanted(p.Registered) {
			list = append(list, deliverSM{ID: p.ID, Kind: kindReceipt, Body: c.receipt(r, p.ID)})
		}
	}
	return list
}

// receipt makes a receipt with text (appendix B) and parameters (§5.3.2.12,
// §5.3.2.35, §5.3.2.31).
func (c *customer) receipt(r *record, id string) *pdu.DeliverSM {
	m := pdu.Message{
		ServiceType: r.Service, Source: r.Dest, Dest: r.Source, ESMClass: pdu.ESMReceipt,
		TLVs: pdu.TLVs{
			pdu.CString(pdu.TagReceiptedMessageID, id), pdu.Byte(pdu.TagMessageState, uint8(r.State)),
		},
	}
	if !r.final() {
		m.ESMClass = pdu.ESMIntermediate
	}
	if code, ok := networkCode(r.Error); ok && code != 0 {
		m.TLVs = append(m.TLVs, pdu.NetworkError{Network: gsmNetwork, Code: code}.TLV())
	}
	coding := gsm.Encoding{Coding: c.codes}
	for _, beginning := range [...]string{r.Text, ""} {
		if octets, err := coding.Encode(r.text(id) + beginning); err == nil {
			m.ShortMessage = octets[:min(len(octets), smpp.MaxShortMessage)]
			break
		}
	}
	return &pdu.DeliverSM{Message: m}
}

// gsmNetwork is network_error_code's number for GSM (§5.3.2.31).
const gsmNetwork = 3

func (r *record) text(id string) string {
	delivered := 0
	if r.State == pdu.StateDelivered {
		delivered = 1
	}
	done := r.Done
	if done.IsZero() {
		done = time.Now()
	}
	code := r.Error
	if code == "" || len(code) > 3 || strings.ContainsFunc(code, func(c rune) bool { return c <= ' ' || c > '~' }) {
		code = "000"
	}
	return fmt.Sprintf("id:%s sub:001 dlvrd:%03d submit date:%s done date:%s stat:%s err:%s text:",
		id, delivered, receiptDate(r.Submitted), receiptDate(done), receipt.Word(r.State), "000"[len(code):]+code)
}

func receiptDate(t time.Time) string { return t.UTC().Format("0601021504") }
