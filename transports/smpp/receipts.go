package smpp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"switchboard/message"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/store"
)

// heldReceipt is a receipt, and what is needed to use it later.
type heldReceipt struct {
	ID     string         `json:"id"` // as the SMSC spelt it
	Status receipt.Status `json:"status"`
	Raw    string         `json:"raw"`
	Error  string         `json:"error,omitempty"`
	Done   time.Time      `json:"done,omitzero"`
	From   string         `json:"from"` // the person the message went to
	To     string         `json:"to"`
	Held   time.Time      `json:"held,omitzero"` // since when
	Ref    uint16         `json:"ref,omitempty"` // user_message_reference, 0 for none
}

// readReceipt reads a deliver_sm as a receipt; is is false when it is a
// message from a person.
func (e *engine) readReceipt(m *pdu.Message) (h heldReceipt, is bool) {
	declared := m.ESMClass.IsReceipt()
	_, hasID := m.TLVs.Get(pdu.TagReceiptedMessageID)
	_, hasState := m.TLVs.Get(pdu.TagMessageState)
	if !declared && !(hasID && hasState) && e.options.DeliveryReportUseESMClass {
		return h, false
	}
	text := e.receiptText(m)
	r, err := e.parser.Parse(m.TLVs, text)
	if err != nil {
		if declared {
			e.metrics.receipt("unreadable")
			e.logger.Warn("a delivery receipt cannot be read and is let go", "from", m.Source.Addr, "error", err)
			e.logger.Debug("its text, which may quote the message", "from", m.Source.Addr, "text", text)
		}
		return h, declared
	}
	reference, _ := m.TLVs.Uint(pdu.TagUserMessageReference)
	return heldReceipt{
		ID: r.ID, Status: r.Status, Raw: r.RawStatus, Error: r.Error, Done: r.Done,
		From: m.Source.Addr, To: m.Dest.Addr, Ref: uint16(reference),
	}, true
}

// receiptText is a receipt's text. SMSCs write it in ASCII, also where they say
// that it is their default alphabet: an id's _ must not become §.
func (e *engine) receiptText(m *pdu.Message) string {
	encoding := e.codings.Of(m, gsm.Shift{})
	if _, overridden := e.codings[m.DataCoding]; encoding.Coding == gsm.GSM7 && !overridden || encoding.Coding == gsm.Octets {
		encoding.Coding = gsm.Latin1
	}
	text, _ := encoding.Decode(m.Payload(), 0)
	return text
}

// takeReceipt reports a receipt, or holds it until its id is known.
func (e *engine) takeReceipt(ctx context.Context, h heldReceipt) error {
	if h.ID == "" { // unreadable: trying again mends nothing
		return nil
	}
	m, err := e.find(ctx, h, false)
	if m == nil && err == nil {
		m, err = e.recognize(ctx, h)
	}
	if err != nil {
		return err
	}
	if m != nil {
		return e.reportMatch(ctx, *m, h)
	}
	return e.hold(ctx, h)
}

// reportMatch publishes what a receipt says of a message. States never go
// backwards: after the last word, no other is reported.
func (e *engine) reportMatch(ctx context.Context, m match, h heldReceipt) error {
	if m.certain {
		e.ids.observe(m.relation)
	}
	if m.Ref != 0 && m.Ref == h.Ref {
		e.echoes.Store(true) // the chance of it is one in 65,535
	}
	if !h.Status.Final() && m.Final == "" {
		return e.reportNow(ctx, m, h)
	}
	end := fmt.Sprint("end/", m.key, "/", m.Message, "/", m.Attempt, "/", m.N)
	if m.Final != "" || !e.held.claim(end) { // another may be reporting it: a copy, or one that was held
		e.metrics.receipt("repeated")
		return nil
	}
	err := e.reportNow(ctx, m, h)
	if err != nil {
		e.held.disclaim(end)
	}
	return err
}

// reportNow is reportMatch for a part on which the last word was not said.
func (e *engine) reportNow(ctx context.Context, m match, h heldReceipt) error {
	if m.Dead {
		e.metrics.receipt("matched")
		return e.conclude(ctx, m, h)
	}
	status, worth, err := e.verdict(ctx, m, h)
	if err != nil {
		return err
	}
	if worth && !e.options.DisableDeliveryReport {
		if err := e.line.Event(ctx, e.event(m, h, status)); err != nil {
			return fmt.Errorf("publishing delivery report: %w", err)
		}
	}
	e.metrics.receipt("matched")
	return e.conclude(ctx, m, h)
}

// conclude remembers that the last word on a part was said.
func (e *engine) conclude(ctx context.Context, m match, h heldReceipt) error {
	if !h.Status.Final() {
		return nil
	}
	m.Final = h.Raw
	if len(m.Same) > 0 {
		return e.concludeShared(ctx, m)
	}
	return e.state.Set(ctx, store.Entry{Key: m.key, Value: m.encode(), TTL: e.options.FinalDRThirdPartyIDExpiry.Std()})
}

// event is the delivery report.
func (e *engine) event(m match, h heldReceipt, status receipt.Status) *message.Event {
	about := &message.Message{ID: m.Message}
	if len(m.Routing) > 0 {
		_ = about.RoutingMetadata.UnmarshalJSON(m.Routing) // was JSON when it was kept
	}
	event := message.NewDeliveryReport(about, message.DeliveryStatus(status))
	event.ID = eventID(m, h, status)
	meta := &event.TransportMetadata
	meta.Set("smpp_delivery_status", h.Raw)
	meta.Set("smpp_message_id", h.ID)
	if h.Error != "" {
		meta.Set("smpp_error_code", h.Error)
	}
	if !h.Done.IsZero() {
		meta.Set("smpp_done_date", message.FormatTime(h.Done))
	}
	if m.how != "id" {
		meta.Set("smpp_matched_by", m.how)
	}
	if status == receipt.Failed {
		event.SetExtra("failure_code", firstOf(h.Error, h.Raw))
		event.SetExtra("failure_reason", "the SMSC reported "+h.Raw)
	}
	return event
}

// eventID follows from what an event says, so that what is said twice is one
// event to whoever counts them: a receipt that is taken again, or by two
// replicas; a receipt, and the answer to a query_sm, which put one end into
// different words; and the receipts of two parts, or of two submits, each of
// which may have the last word.
func eventID(m match, h heldReceipt, status receipt.Status) string {
	about, word := m.key, h.Raw
	if status.Final() {
		about, word = strconv.Itoa(m.Attempt), ""
	}
	sum := sha256.Sum256([]byte(m.Message + "\x00" + about + "\x00" + string(status) + "\x00" + word))
	return hex.EncodeToString(sum[:16])
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// hold keeps a receipt whose id is not known: its submit_sm_resp may be on its
// way, here or in another process.
func (e *engine) hold(ctx context.Context, h heldReceipt) error {
	h.Held = time.Now()
	text, err := json.Marshal(h)
	if err != nil {
		return message.Permanent(fmt.Errorf("holding a receipt: %w", err))
	}
	key, before, list, err := e.heldPlace(ctx, h)
	if err != nil {
		return fmt.Errorf("holding a receipt: %w", err)
	}
	if before.Status.Final() && !h.Status.Final() { // what is held already says more
		e.metrics.receipt("repeated")
		return nil
	}
	ttl := e.options.HeldReceiptExpiry.Std()
	err = e.state.Set(ctx, store.Entry{Key: key, Value: string(text), TTL: ttl},
		store.Entry{Key: e.keys.heldFor(h.From, h.To), Value: withKey(list, key), TTL: ttl})
	if err != nil {
		return fmt.Errorf("holding a receipt: %w", err)
	}
	e.metrics.receipt("held")
	m, err := e.find(ctx, h, false)
	if err != nil {
		return err
	}
	if m == nil {
		e.held.add(key, h)
		return nil
	}
	return e.settleHeld(ctx, key, *m, h)
}

// heldPlace is where a receipt is held: under its id, which is looked at when the
// id is told, unless another submit's receipt of the same id is there. Then it
// is found by looking again. Before is what is there, and list what is held for
// messages between the two.
func (e *engine) heldPlace(ctx context.Context, h heldReceipt) (key string, before heldReceipt, list []string, err error) {
	key = e.keys.held(e.ids.held(h.ID))
	apart := fmt.Sprintf("%s/%s/%d", key, lastDigits(h.From), h.Ref)
	pointer := e.keys.heldFor(h.From, h.To)
	found, err := e.state.Get(ctx, key, apart, pointer)
	if err != nil {
		return "", before, nil, err
	}
	before = readHeld(found[key])
	if before.ID != "" && (before.From != h.From || before.Ref != h.Ref) {
		key, before = apart, readHeld(found[apart])
	}
	return key, before, heldList(found[pointer]), nil
}

// readHeld is a receipt as it is held; one without an id where there is none.
func readHeld(text string) (h heldReceipt) {
	if text == "" || json.Unmarshal([]byte(text), &h) != nil {
		return heldReceipt{}
	}
	return h
}

// settleHeld reports a held receipt, unless whoever else saw that its id has
// come does.
func (e *engine) settleHeld(ctx context.Context, key string, m match, h heldReceipt) error {
	if !e.held.claim(key + h.Raw) {
		return nil
	}
	if err := e.reportMatch(ctx, m, h); err != nil {
		e.held.disclaim(key + h.Raw)
		e.held.add(key, h)
		return err
	}
	return e.state.Delete(ctx, key)
}
