package smpp

import (
	"context"
	"errors"
	"fmt"

	"switchboard/message"
	"switchboard/transports/smpp/pdu"
)

// sending is one try at a message.
type sending struct {
	*engine
	*plan
	tickets []*ticket // nil where the SMSC has the part already
	parts   []fate
	resends int
}

// fate is what became of a part so far.
type fate struct {
	accepted bool
	id       string // the SMSC's, where accepted
	unknown  bool
	refused  error
}

// maxResends is how often unknown_policy resend submits a part again.
const maxResends = 3

// send submits the parts of a message that the SMSC does not have; known are
// those it has.
func (e *engine) send(ctx context.Context, m *message.Message, known []fate) (providerID string, err error) {
	p, err := e.plan(m)
	if err != nil {
		return "", message.Permanent(err)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	s := &sending{engine: e, plan: p, tickets: make([]*ticket, p.total), parts: make([]fate, p.total)}
	copy(s.parts, known)
	for i, frame := range p.frames {
		if s.parts[i].accepted {
			continue
		}
		s.tickets[i] = &ticket{frame: frame, part: part{p.submitted, i + 1}, outcome: make(chan outcome, 1)}
		e.gate.submit(s.tickets[i], false)
	}
	err = s.settleAll(ctx)
	if failed := s.writeDown(ctx, err); failed != nil {
		return "", failed
	}
	return s.parts[0].id, nil
}

// settleAll waits for every part. When one fails, those that are not underway
// are taken back.
func (s *sending) settleAll(ctx context.Context) (failure error) {
	for i, t := range s.tickets {
		if t == nil {
			continue
		}
		if failure != nil && s.gate.withdraw(t) {
			continue
		}
		if err := s.settle(ctx, i, t, failure != nil); err != nil && failure == nil {
			failure = err
			if s.total > 1 {
				failure = fmt.Errorf("segment %d of %d: %w", i+1, s.total, err)
			}
		}
	}
	return failure
}

// settle waits until a part is accepted or is not going to be. A part whose
// message has failed is not submitted again.
func (s *sending) settle(ctx context.Context, i int, t *ticket, failed bool) error {
	for {
		o, err := s.gate.await(ctx, t)
		if err != nil {
			return err
		}
		switch {
		case o.unknown:
			again, err := s.unanswered(i, o)
			if failed || !again {
				return err
			}
			s.again.Store(true)
			s.gate.submit(t, true)
		case o.status.Throttling() && !failed:
			s.gate.submit(t, true)
		case o.status == pdu.StatusOK:
			s.parts[i] = fate{accepted: true, id: o.id}
			return nil
		default:
			s.parts[i].refused = statusError(o.status)
			return s.parts[i].refused
		}
	}
}

func statusError(s pdu.Status) error {
	err := fmt.Errorf("the SMSC refused submit_sm: %s: %s", s, s.Words())
	if s.Temporary() || ours(s) {
		return err
	}
	return message.Permanent(err)
}

// ours are the statuses that find fault with the bind, not with the message.
func ours(s pdu.Status) bool {
	switch s {
	case pdu.StatusInvBndSts, pdu.StatusBindFail, pdu.StatusInvPaswd, pdu.StatusInvSysID, pdu.StatusInvSysTyp:
		return true
	}
	return false
}

// errUnknown is a submit without an answer: the SMSC may have the message.
var errUnknown = errors.New("it is unknown whether the SMSC has the message")

// unanswered does what unknown_policy says; again asks for another submit.
func (s *sending) unanswered(i int, o outcome) (again bool, err error) {
	err = fmt.Errorf("%w: %s", errUnknown, o.unknowing)
	s.metrics.unknown()
	switch s.options.UnknownPolicy {
	case unknownFail:
		return false, message.Permanent(err)
	case unknownResend:
		if s.resends++; s.resends <= maxResends*s.total {
			return true, nil
		}
		return false, message.Permanent(fmt.Errorf("%w; it was submitted %d times", err, maxResends+1))
	}
	s.parts[i].unknown = true
	return false, err
}

// fresh are the parts that were submitted in this try: of the others the last
// word may have been said.
func (s *sending) fresh() []fate {
	parts := make([]fate, s.total)
	for i, t := range s.tickets {
		if t != nil {
			parts[i] = s.parts[i]
		}
	}
	return parts
}

// writeDown remembers the ids of accepted parts, for their receipts, and what a
// further try must know. It returns the message's outcome.
func (s *sending) writeDown(ctx context.Context, failure error) error {
	dead := message.IsPermanent(failure)
	ctx = context.WithoutCancel(ctx) // what the SMSC has must be remembered also when there is no time
	s.rememberIDs(ctx, s.submitted, s.fresh(), dead)
	switch {
	case failure == nil || dead:
		return failure
	case errors.Is(failure, errUnknown):
		return s.awaitWord(ctx, s.submitted, s.parts, failure)
	case s.total > 1:
		s.saveParts(ctx, s.submitted, s.parts)
	}
	return failure
}
