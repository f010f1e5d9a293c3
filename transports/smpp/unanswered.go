package smpp

import (
	"context"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/smpp/submissions"
)

// shares is how many times longer unknown_wait is than the first wait for a message
// without an answer. Each further wait is as long as all before it, so that there
// are fewer looks than the worker's max_attempts.
const shares = 128

// nextLook is how long after having waited an unanswered message is looked at
// again.
func (s *sender) nextLook(waited time.Duration) time.Duration {
	total := s.options.UnknownWait.Std()
	return min(max(waited, total/shares), max(total-waited, 0)+time.Second)
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

// answeredLate records an answer that came after its time.
func (s *sending) answeredLate(one *part, r binds.Result) {
	p := one.Part
	if s.options.UnknownPolicy == unknownResend {
		p.Message = p.Again()
	}
	s.work.Go(func() {
		s.recorded.Wait() // or it would record that there was no answer
		err := s.guard("taking a late answer", func() error {
			return s.submissions.Answered(context.Background(), p, lateOutcome(r)) // for as long as the transport runs
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
