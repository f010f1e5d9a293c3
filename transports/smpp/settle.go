package smpp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/submissions"
)

const (
	// urgentRefusals is how often a part is refused for want of room, and still
	// goes before all others.
	urgentRefusals = 3
	// roomRefusals is how often before the message is left to the broker's delays.
	roomRefusals = 8
	// shortestRest is how long a part that goes before no others rests at least.
	shortestRest = 10 * time.Millisecond
)

// maxResends is how often unknown_policy resend submits a part again.
const maxResends = 3

// settle is what an outcome means for its part: it is accepted, it failed, or it
// is submitted again and not settled. A part whose message has failed is not
// submitted again.
func (s *sending) settle(ctx context.Context, o outcome) (settled bool, err error) {
	t, part := o.of, &s.parts[o.of.part.N-1]
	switch {
	case o.unknown:
		return s.unanswered(t, o)
	case o.status == pdu.StatusOK:
		*part = submissions.Outcome{Accepted: true, ID: o.id}
		s.note(ctx, t.part)
		return true, nil
	case o.status.Throttling() && s.mayGoOn() && s.wait(t):
		return false, nil
	}
	part.Unanswered = time.Time{}
	return true, statusError(o.status)
}

// mayGoOn: parts may be submitted again.
func (s *sending) mayGoOn() bool { return s.failure == nil && !s.leaving }

// wait submits a part again that the SMSC had no room for: first before all
// others, then after them and ever later. False is to leave it.
func (s *sending) wait(t *ticket) bool {
	switch t.refusals++; {
	case t.refusals > roomRefusals:
		return false
	case t.refusals <= urgentRefusals:
		s.gate.submit(t, true)
	default:
		rest := max(s.options.ThrottleDelay.Std(), shortestRest)
		s.gate.later(t, rest<<(t.refusals-urgentRefusals-1))
	}
	return true
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

// unanswered does what unknown_policy says.
func (s *sending) unanswered(t *ticket, o outcome) (settled bool, err error) {
	err = fmt.Errorf("%w: %s", errUnknown, o.unknowing)
	s.metrics.unknown()
	switch {
	case s.options.UnknownPolicy == unknownFail:
		return true, message.Permanent(err)
	case s.options.UnknownPolicy == unknownResend && t.resends == maxResends:
		return true, message.Permanent(fmt.Errorf("%w; it was submitted %d times", err, maxResends+1))
	case s.options.UnknownPolicy == unknownResend && s.mayGoOn():
		t.resends++
		s.Message = s.Again()
		s.gate.submit(t, true)
		return false, nil
	}
	s.parts[t.part.N-1].Unanswered = time.Now()
	return true, err
}
