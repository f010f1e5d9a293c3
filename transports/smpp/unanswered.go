package smpp

import (
	"context"
	"fmt"
	"math"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/submissions"
)

const (
	// firstLook is when a message without an answer is looked at again; each
	// further wait is as long as all before it,
	firstLook = 5 * time.Second
	// or longer, where unknown_wait would not end within so many looks: each is
	// one of the worker's max_attempts.
	looks = 7
)

// nextLook is how long after having waited an unanswered message is looked at
// again.
func (e *engine) nextLook(waited time.Duration) time.Duration {
	total := e.options.UnknownWait.Std()
	first := min(firstLook, total/4)
	growth := max(2, math.Pow(float64(total)/float64(first), 1./looks))
	next := max(time.Duration(float64(waited)*(growth-1)), first)
	return min(next, max(total-waited, 0)+time.Second)
}

// sendAgain goes on where earlier tries at a message ended.
func (e *engine) sendAgain(ctx context.Context, m *message.Message) (providerID string, err error) {
	p, err := e.plan(m, 0)
	if err != nil {
		return "", message.Permanent(err)
	}
	known, waited, err := e.submissions.Submitted(ctx, p.Message)
	if err != nil {
		return "", err
	}
	for _, o := range known {
		if o.Refused != "" {
			return "", message.Permanent(fmt.Errorf("the SMSC refused submit_sm: %s", o.Refused))
		}
	}
	switch {
	case waited < 0 || e.options.UnknownPolicy == unknownResend:
		return e.send(ctx, m, known)
	case e.options.UnknownPolicy == unknownFail:
		return "", message.Permanent(errUnknown)
	case waited > e.options.UnknownWait.Std():
		return "", message.Permanent(fmt.Errorf("%w: there was neither an answer nor a receipt within %s", errUnknown, e.options.UnknownWait.Std()))
	}
	return "", message.RetryAfter(e.nextLook(waited), errUnknown)
}

// lately takes an answer that came after its time, or after a mistaken one that
// brought another message's id.
func (e *engine) lately(t *ticket, o outcome) {
	p, mistaken := t.part, t.id
	if e.options.UnknownPolicy == unknownResend {
		p.Message = p.Again()
	}
	e.work.Go(func() {
		err := e.guard("taking a late answer", func() error {
			ctx := context.Background() // for as long as the transport runs
			answer := lateOutcome(o)
			if answer.Accepted {
				if err := e.submissions.AcceptedLate(ctx, p, o.id, mistaken); err != nil {
					return err
				}
			}
			t.sending.over.Wait() // or it would record that there was no answer
			return e.submissions.Answered(ctx, p, answer)
		})
		if err != nil {
			e.logger.Warn("recording a late answer failed", "message_id", p.ID, "error", err)
		}
	})
}

func lateOutcome(o outcome) submissions.Outcome {
	switch {
	case o.status == pdu.StatusOK:
		return submissions.Outcome{Accepted: true, ID: o.id}
	case o.status.Temporary() || ours(o.status):
		return submissions.Outcome{}
	}
	return submissions.Outcome{Refused: o.status.String() + ": " + o.status.Words()}
}
