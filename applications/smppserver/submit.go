package smppserver

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

// submission is a submit_sm, data_sm or submit_multi.
type submission struct {
	*pdu.Message
	body           pdu.Body
	dests          []pdu.Address
	destinationKey string // one for those it goes to
	failed         []pdu.Unsuccessful
	short          bool // the client can hold short ids only
}

func readSubmission(body pdu.Body) submission {
	in := submission{Message: smpp.MessageOf(body), body: body}
	multi, is := body.(*pdu.SubmitMulti)
	if !is {
		in.dests, in.destinationKey = []pdu.Address{in.Dest}, in.Dest.Addr+"|"
		return in
	}
	var key strings.Builder
	for _, d := range multi.Dests {
		if d.List != "" {
			in.failed = append(in.failed, pdu.Unsuccessful{Address: pdu.Address{Addr: cut(d.List, smpp.MaxAddress)}, Status: pdu.StatusInvDLName})
			continue
		}
		in.dests = append(in.dests, d.Address)
		key.WriteString(d.Addr + "|")
	}
	in.destinationKey = key.String()
	return in
}

// submit takes a message, within the customer's window and rate. Messages for one
// destination stay in order.
func (e *engine) submit(b *bind, p *pdu.PDU) {
	b.use()
	in := readSubmission(p.Body)
	in.short = b.ShortIDs || b.session.Peer().Version < pdu.Version34
	status := pdu.StatusOK
	switch {
	case b.session.Unanswered() > b.Window:
		status = pdu.StatusMsgQFul
	case !b.mayPass(max(len(in.dests), 1)):
		status = pdu.StatusThrottled
	case !e.busy.Begin():
		status = pdu.StatusMsgQFul
	}
	if status != pdu.StatusOK {
		e.answer(b, p.Respond(status))
		return
	}
	b.lanes.Go(in.destinationKey, func() {
		defer e.busy.Done()
		e.answer(b, e.attempt(b, p, &in))
	})
}

func (e *engine) answer(b *bind, p *pdu.PDU) {
	e.metrics.submits.WithLabelValues(b.systemID, p.Status.String()).Inc()
	_ = b.session.Answer(p) // a session that is over needs none
}

// attempt is accept as an answer; a panic is ESME_RSYSERR.
func (e *engine) attempt(b *bind, p *pdu.PDU, in *submission) (answer *pdu.PDU) {
	defer func() {
		if v := recover(); v != nil {
			e.log.Error("taking a submit panicked", "customer", b.systemID, "pdu", p.String(), "panic", v, "stack", string(debug.Stack()))
			answer = p.Respond(pdu.StatusSysErr)
		}
	}()
	ctx, cancel := context.WithTimeout(e.life, e.options.SubmitTimeout.Std())
	defer cancel()
	id, err := e.accept(ctx, b.customer, in)
	if err != nil {
		status := statusOf(err)
		if others, ok := e.refusals.Allow(b.systemID+": "+status.String(), time.Now()); ok {
			e.log.Info("a submit is refused", "customer", b.systemID, "pdu", p.String(), "status", status.String(), "error", err,
				"others_like_it", others)
		}
		return p.Respond(status)
	}
	answer = p.Respond(pdu.StatusOK)
	switch body := answer.Body.(type) {
	case *pdu.SubmitSMResp:
		body.MessageID = id
	case *pdu.DataSMResp:
		body.MessageID = id
	case *pdu.SubmitMultiResp:
		body.MessageID, body.Unsuccessful = id, in.failed
	}
	return answer
}

// refusal is a submit that cannot be taken as it is.
type refusal pdu.Status

func (r refusal) Error() string { return pdu.Status(r).Words() }

// statusOf is the command_status for an error: ESME_RMSGQFUL for one that may not
// happen again.
func statusOf(err error) pdu.Status {
	var own refusal
	switch {
	case errors.As(err, &own):
		return pdu.Status(own)
	case message.IsPermanent(err):
		return pdu.StatusSubmitFail
	}
	return pdu.StatusMsgQFul
}

// accept publishes a message, or keeps a part of one until the others come, and
// returns the id for the answer.
func (e *engine) accept(ctx context.Context, c *customer, in *submission) (id string, err error) {
	if err := c.check(in); err != nil {
		return "", err
	}
	part := smpp.PartOf(in.Message)
	if part.Multipart() && !hasMore(part.Header) {
		return e.assemble(ctx, c, in)
	}
	if id, err = c.newID(ctx, in); err != nil {
		return "", err
	}
	w := outbound{
		submission: in, parts: []smpp.Part{part}, records: []recordPart{{ID: id, Registered: in.RegisteredDelivery}}, ids: in.messageIDs(id, message.NewID()),
	}
	return id, e.publish(ctx, c, &w)
}

// check returns a refusal for a submit with a wrong field.
func (c *customer) check(in *submission) error {
	if in.Source.Addr == "" && c.DefaultSource != "" {
		in.Source = toSMPP(c.DefaultSource)
	}
	for i := 0; i < len(in.dests); {
		if d := in.dests[i]; !smpp.IsNumber(bare(d.Addr)) || len(d.Addr) > smpp.MaxAddress+1 {
			in.failed = append(in.failed, pdu.Unsuccessful{Address: d, Status: pdu.StatusInvDstAdr})
			in.dests = append(in.dests[:i], in.dests[i+1:]...)
			continue
		}
		i++
	}
	if status := c.checkTLVs(in.TLVs); status != pdu.StatusOK {
		return refusal(status)
	}
	_, validity := pdu.ParseTime(in.ValidityPeriod)
	_, schedule := pdu.ParseTime(in.ScheduleDeliveryTime)
	switch {
	case len(in.dests) == 0 && len(in.failed) > 0:
		return refusal(in.failed[0].Status)
	case len(in.dests) == 0:
		return refusal(pdu.StatusInvNumDests)
	case len(c.sources) > 0 && !c.sources.has(in.Source.Addr), len(in.Source.Addr) > smpp.MaxAddress+1:
		return refusal(pdu.StatusInvSrcAdr)
	case in.ESMClass.IsReceipt():
		return refusal(pdu.StatusInvEsmClass)
	case len(in.ServiceType) > smpp.MaxServiceType:
		return refusal(pdu.StatusInvSerTyp)
	case in.Priority > 3:
		return refusal(pdu.StatusInvPrtFlg)
	case in.DefaultMsgID != 0:
		return refusal(pdu.StatusInvDftMsgID)
	case in.ValidityPeriod != "" && validity != nil:
		return refusal(pdu.StatusInvExpiry)
	case in.ScheduleDeliveryTime != "" && schedule != nil:
		return refusal(pdu.StatusInvSched)
	}
	return nil
}

// checkTLVs looks at the parameters that go through the fleet.
func (c *customer) checkTLVs(tlvs pdu.TLVs) pdu.Status {
	for _, t := range smpp.Passed(tlvs) {
		switch {
		case slices.Contains(c.refused, t.Tag):
			return pdu.StatusOptParNotAllwd
		case t.Check() != nil:
			return pdu.StatusInvOptParamVal
		}
	}
	return pdu.StatusOK
}

// publish gives a message to the broker, one for each destination, and returns
// when it has all.
func (e *engine) publish(ctx context.Context, c *customer, w *outbound) error {
	reached := 0
	var last error
	for i, dest := range w.dests {
		m, text := c.outgoing(w, dest)
		m.ID = w.ids[i]
		err := e.remember(ctx, w, m.ID, &record{
			Customer: c.systemID, Parts: w.records, Source: w.Source, Dest: dest, Service: w.ServiceType,
			Text: beginning(text), Submitted: time.Now().UTC(), State: pdu.StateAccepted,
		})
		if err == nil {
			err = e.out.Send(ctx, m)
		}
		if err != nil {
			last = err
			w.failed = append(w.failed, pdu.Unsuccessful{Address: dest, Status: statusOf(err)})
			continue
		}
		reached++
	}
	if reached > 0 {
		return nil
	}
	return last
}

// beginning is what a receipt repeats of a text.
func beginning(text string) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), receiptText)])
}

// receiptText is how many characters that are (appendix B).
const receiptText = 20
