package smpp

import (
	"context"
	"strconv"

	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

// ask asks about one, reports what the SMSC says if it is the last word, and
// else leaves it for later.
func (e *engine) ask(ctx context.Context, i *inquiry) error {
	k, err := e.open(ctx, i)
	if k == nil || err != nil {
		return err
	}
	frame, err := e.queryFrame(i, k)
	if err != nil {
		e.logger.Warn("a message cannot be asked about", "message_id", k.Message, "error", err)
		return e.forgetInquiries(ctx, i)
	}
	t := &ticket{frame: frame, query: true, outcome: make(chan outcome, 1)}
	e.gate.submit(t, false)
	o, err := e.gate.await(ctx, t)
	if err != nil {
		return err
	}
	switch {
	case o.status == pdu.StatusInvCmdID:
		return errNoQueries
	case o.unknown || o.status.Throttling():
		e.metrics.query("unanswered")
	case o.status != pdu.StatusOK:
		e.metrics.query("refused")
		i.Refused++
	default:
		final, err := e.told(ctx, i, o.state)
		if final || err != nil {
			return err
		}
	}
	return e.askLater(ctx, i)
}

// open is what is known of an inquiry's id, unless the last word has been said.
func (e *engine) open(ctx context.Context, i *inquiry) (*known, error) {
	found, err := e.state.Get(ctx, i.key)
	if err != nil {
		return nil, err
	}
	if k := readKnown(found[i.key]); k != nil {
		return k, nil
	}
	return nil, e.forgetInquiries(ctx, i)
}

// queryFrame encodes the query_sm. Its source address must be the submit_sm's
// (§4.8.1).
func (e *engine) queryFrame(i *inquiry, k *known) ([]byte, error) {
	source, err := e.options.source(k.From)
	if err != nil {
		return nil, err
	}
	p := &pdu.PDU{Body: &pdu.QuerySM{MessageID: i.ID, Source: source}}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p.AppendTo(nil)
}

// told takes the SMSC's word for a message's state as a receipt.
func (e *engine) told(ctx context.Context, i *inquiry, answer *pdu.QuerySMResp) (final bool, err error) {
	status := e.parser.Statuses.OfState(answer.State)
	if !status.Final() {
		e.metrics.query("pending")
		return false, nil
	}
	k, err := e.open(ctx, i) // a receipt may have come meanwhile
	if k == nil || err != nil {
		return true, err
	}
	e.metrics.query("final")
	m := match{known: *k, key: i.key, how: "query"}
	if err := e.reportMatch(ctx, m, heldFrom(i, k, status, answer)); err != nil {
		return true, err
	}
	return true, e.forgetInquiries(ctx, i)
}

// heldFrom is the receipt that the SMSC might have sent.
func heldFrom(i *inquiry, k *known, status receipt.Status, answer *pdu.QuerySMResp) heldReceipt {
	h := heldReceipt{ID: i.ID, Status: status, Raw: answer.State.String(), From: k.To, To: k.From, Ref: k.Ref}
	if answer.ErrorCode != 0 {
		h.Error = strconv.Itoa(int(answer.ErrorCode))
	}
	if at, err := pdu.ParseTime(answer.FinalDate); err == nil && !at.Relative {
		h.Done = at.Moment
	}
	return h
}

// askLater leaves a message for another time, or be.
func (e *engine) askLater(ctx context.Context, i *inquiry) error {
	if i.Refused < maxRefusals {
		i.Asked++
		if err := e.state.Set(ctx, e.inquiry(i)); err != nil {
			return err
		}
	}
	return e.forgetInquiries(ctx, i)
}
