package smpp

import (
	"context"
	"fmt"
	"math"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/smpp/submissions"
)

const (
	// firstLook is when a message without an answer is looked at again. Each further
	// wait is as long as all before it, or longer.
	firstLook = 5 * time.Second
	// looks is how many looks unknown_wait has at most: each is one of the worker's
	// max_attempts.
	looks = 7
)

// nextLook is how long after having waited an unanswered message is looked at
// again.
func (s *sender) nextLook(waited time.Duration) time.Duration {
	total := s.options.UnknownWait.Std()
	first := min(firstLook, total/4)
	growth := max(2, math.Pow(float64(total)/float64(first), 1./looks))
	next := max(time.Duration(float64(waited)*(growth-1)), first)
	return min(next, max(total-waited, 0)+time.Second)
}

// sendAgain goes on where earlier tries at a message ended.
func (s *sender) sendAgain(ctx context.Context, m *message.Message) (providerID string, err error) {
	p, err := s.plan(m, 0)
	if err != nil {
		return "", message.Permanent(err)
	}
	known, waited, err := s.submissions.Submitted(ctx, p.Message)
	if err != nil {
		return "", err
	}
	for _, o := range known {
		if o.Refused != "" {
			return "", message.Permanent(fmt.Errorf("the SMSC refused submit_sm: %s", o.Refused))
		}
	}
	switch {
	case waited < 0 || s.options.UnknownPolicy == unknownResend:
		return s.send(ctx, m, known)
	case s.options.UnknownPolicy == unknownFail:
		return "", message.Permanent(errUnknown)
	case waited > s.options.UnknownWait.Std():
		return "", message.Permanent(fmt.Errorf("%w: there was neither an answer nor a receipt within %s", errUnknown, s.options.UnknownWait.Std()))
	}
	return "", message.RetryAfter(s.nextLook(waited), errUnknown)
}

// answeredLate records an answer that came after its time, or after a mistaken one
// that brought another message's id.
func (s *sending) answeredLate(one *submit, r binds.Result) {
	p, mistaken := one.part, one.id
	if s.options.UnknownPolicy == unknownResend {
		p.Message = p.Again()
	}
	s.work.Go(func() {
		err := guard(s.logger, "taking a late answer", func() error {
			ctx := context.Background() // for as long as the transport runs
			answer := lateOutcome(r)
			if answer.Accepted {
				if err := s.submissions.AcceptedLate(ctx, p, r.ID, mistaken); err != nil {
					return err
				}
			}
			s.recorded.Wait() // or it would record that there was no answer
			return s.submissions.Answered(ctx, p, answer)
		})
		if err != nil {
			s.logger.Warn("recording a late answer failed", "message_id", p.ID, "error", err)
		}
	})
}

func lateOutcome(r binds.Result) submissions.Outcome {
	switch {
	case r.Status == pdu.StatusOK:
		return submissions.Outcome{Accepted: true, ID: r.ID}
	case r.Status.Temporary() || ofTheBind(r.Status):
		return submissions.Outcome{}
	}
	return submissions.Outcome{Refused: r.Status.String() + ": " + r.Status.Words()}
}
