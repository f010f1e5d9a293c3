package smppserver

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/store"
)

// record is what is remembered of a submitted message, under its message ID, for
// its receipts and query_sm. It is in the state store: events may come to any
// process, after any restart.
type record struct {
	Customer  string           `json:"customer"`
	Parts     []recordPart     `json:"parts"` // one for each submit the message came in
	Source    pdu.Address      `json:"source"`
	Dest      pdu.Address      `json:"dest"`
	Service   string           `json:"service,omitempty"`
	Text      string           `json:"text,omitempty"` // its beginning
	Submitted time.Time        `json:"submitted"`
	State     pdu.MessageState `json:"state"`
	Error     string           `json:"error,omitempty"`
	Done      time.Time        `json:"done,omitzero"` // when the state became final
}

// recordPart is what one submit asked for.
type recordPart struct {
	ID         string                 `json:"id"` // as in its answer
	Registered pdu.RegisteredDelivery `json:"registered"`
	Receipted  bool                   `json:"receipted,omitempty"` // the customer has the final receipt
}

func (r *record) final() bool { return !r.Done.IsZero() }

func (e *engine) recordKey(messageID string) string { return "submitted/" + messageID }

func (e *engine) recordEntry(messageID string, r *record) store.Entry {
	text, _ := json.Marshal(r) // texts, numbers and times
	return store.Entry{Key: e.recordKey(messageID), Value: string(text), TTL: e.options.RememberFor.Std()}
}

// remember keeps a record before its message goes out (events may be fast), and
// what else belongs to it. A message that may have gone out before keeps the record
// it has: what became of it may be known already.
func (e *engine) remember(ctx context.Context, w *outbound, messageID string, r *record) error {
	if w.again {
		if known, err := e.record(ctx, messageID); err != nil || known != nil {
			return err
		}
	}
	entries := append(w.with, e.recordEntry(messageID, r))
	for _, p := range r.Parts {
		if p.ID != messageID {
			entries = append(entries, store.Entry{Key: e.aliasKey(r.Customer, p.ID), Value: messageID, TTL: e.options.RememberFor.Std()})
		}
	}
	if err := e.state.Set(ctx, entries...); err != nil {
		return fmt.Errorf("remembering message %s: %w", messageID, err)
	}
	w.with = nil
	return nil
}

// record returns a record, nil when there is none.
func (e *engine) record(ctx context.Context, messageID string) (*record, error) {
	key := e.recordKey(messageID)
	found, err := e.state.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking for message %s: %w", cut(messageID, maxID), err)
	}
	r := new(record)
	if text, there := found[key]; !there || json.Unmarshal([]byte(text), r) != nil {
		return nil, nil
	}
	return r, nil
}

// maxID is the most characters a message_id has (§5.2.23).
const maxID = 64

// byAnswer returns the record for the id in an answer to a customer.
func (e *engine) byAnswer(ctx context.Context, c *customer, id string) (*record, error) {
	key := e.aliasKey(c.systemID, id)
	found, err := e.state.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking for message %s: %w", id, err)
	}
	id = cmp.Or(found[key], id)
	if d := c.flight(kindReceipt, id); d != nil {
		return d.record, nil // the customer may have its receipt
	}
	return e.record(ctx, id)
}

// query answers query_sm (§4.8) from what is remembered.
func (e *engine) query(b *bind, p *pdu.PDU, q *pdu.QuerySM) {
	if !e.busy.Begin() {
		_ = b.session.Answer(p.Respond(pdu.StatusSysErr))
		return
	}
	b.lanes.Go("query", func() {
		defer e.busy.Done()
		answer := e.asked(b, p, q)
		_ = b.session.Answer(answer)
	})
}

func (e *engine) asked(b *bind, p *pdu.PDU, q *pdu.QuerySM) *pdu.PDU {
	ctx, cancel := context.WithTimeout(e.life, e.options.SubmitTimeout.Std())
	defer cancel()
	r, err := e.byAnswer(ctx, b.customer, cut(q.MessageID, maxID))
	switch {
	case err != nil:
		e.log.Warn("answering query_sm failed", "customer", b.systemID, "error", err)
		return p.Respond(pdu.StatusSysErr)
	case r == nil || r.Customer != b.systemID:
		return p.Respond(pdu.StatusQueryFail)
	}
	answer := p.Respond(pdu.StatusOK)
	body := answer.Body.(*pdu.QuerySMResp)
	body.MessageID, body.State = q.MessageID, r.State
	if r.final() {
		body.FinalDate = pdu.FormatAbsolute(r.Done.UTC())
	}
	if code, err := strconv.ParseUint(r.Error, 10, 8); err == nil {
		body.ErrorCode = uint8(code)
	}
	return answer
}
