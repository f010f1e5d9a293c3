package smpp

import (
	"context"
	"fmt"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/transports"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/smpp/submissions"
)

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
	if err := s.options.Unknown.Settle(waited, errUnknown); err != nil {
		return "", err
	}
	return s.send(ctx, m, known)
}

// answeredLate records an answer that came after its time.
func (s *sending) answeredLate(one *part, r binds.Result) {
	p := one.Part
	if s.options.UnknownPolicy == transports.UnknownResend {
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
