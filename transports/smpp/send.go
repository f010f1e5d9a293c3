package smpp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/transports/smpp/submissions"
)

// sending is one try at a message.
type sending struct {
	*engine
	*plan
	tickets  []*ticket // nil where the SMSC has the part already
	parts    []submissions.Outcome
	left     int          // tickets that are not settled
	leaving  bool         // no more time
	outcomes chan outcome // the tickets'
	failure  error        // the first, or one that is for good
	noting   sync.WaitGroup
	over     sync.WaitGroup // until what is to be remembered is
}

// send submits the parts of a message that the SMSC does not have; known are
// those it has, nil when the message was never in hand before.
func (e *engine) send(ctx context.Context, m *message.Message, known []submissions.Outcome) (providerID string, err error) {
	p, err := e.plan(m, e.concatReference(m, known))
	if err != nil {
		return "", message.Permanent(err)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	s := e.newSending(p, known)
	defer s.over.Done()
	s.submit()
	s.settleAll(ctx)
	if err := s.record(ctx); err != nil {
		return "", err
	}
	return s.parts[0].ID, nil
}

// concatReference marks the parts of a message's text: as it marked those that
// the SMSC has already, or may have.
func (e *engine) concatReference(m *message.Message, known []submissions.Outcome) uint16 {
	for _, o := range known {
		if o.ConcatReference != 0 {
			return o.ConcatReference
		}
	}
	return e.concatReferences.next(m.To)
}

func (e *engine) newSending(p *plan, known []submissions.Outcome) *sending {
	s := &sending{
		engine: e, plan: p, tickets: make([]*ticket, p.Parts), parts: make([]submissions.Outcome, p.Parts),
		outcomes: make(chan outcome, p.Parts),
	}
	copy(s.parts, known)
	s.Resubmitted = known != nil // the SMSC may have what it refused, and what a process submitted that died
	s.over.Add(1)
	return s
}

func (s *sending) submit() {
	for i, frame := range s.frames {
		if s.parts[i].Accepted {
			continue
		}
		p := submissions.Part{Message: s.Message, N: i + 1}
		s.tickets[i] = &ticket{frame: frame, part: p, ours: p.Reference() != 0, outcome: s.outcomes, sending: s}
		s.left++
		s.gate.submit(s.tickets[i], false)
	}
}

// settleAll takes the parts' outcomes as they come. When one fails, those that
// are not underway are taken back.
func (s *sending) settleAll(ctx context.Context) {
	for s.left > 0 {
		select {
		case o := <-s.outcomes:
			s.take(ctx, o)
		case <-ctx.Done():
			s.leave(ctx, ctx.Err())
		case <-s.gate.done:
			s.leave(ctx, errStopped)
		}
	}
}

func (s *sending) take(ctx context.Context, o outcome) {
	settled, err := s.settle(ctx, o)
	if !settled {
		return
	}
	s.done(o.of)
	if err == nil {
		return
	}
	if s.fail(o.of.part, err); s.left > 0 {
		s.withdraw()
	}
}

func (s *sending) done(t *ticket) {
	t.settled = true
	s.left--
}

// fail records why the message is not sent.
func (s *sending) fail(p submissions.Part, err error) {
	if s.failure != nil {
		return
	}
	if s.failure = err; s.Parts > 1 {
		s.failure = fmt.Errorf("segment %d of %d: %w", p.N, s.Parts, err)
	}
}

func (s *sending) withdraw() {
	for _, t := range s.tickets {
		if t != nil && !t.settled && s.gate.withdraw(t) {
			s.done(t)
		}
	}
}

// leave ends the sending when there is no more time: what waits is taken back,
// and what is underway is unknown, whatever the policy: who takes the message up
// again must not submit it as if it were new.
func (s *sending) leave(ctx context.Context, cause error) {
	s.leaving = true
	var unknown, waiting submissions.Part
	for _, t := range s.tickets {
		if t == nil || t.settled {
			continue
		}
		withdrawn, ok := s.gate.abandon(t)
		if !ok {
			continue
		}
		s.done(t)
		if withdrawn {
			waiting = t.part
			continue
		}
		s.metrics.unknown()
		s.parts[t.part.N-1].Unanswered, unknown = time.Now(), t.part
	}
	switch {
	case unknown.Message != nil:
		s.fail(unknown, fmt.Errorf("%w: there was no time to wait for the answer", errUnknown))
	case waiting.Message != nil:
		s.fail(waiting, cause)
	}
	for s.left > 0 { // their answers are here
		s.take(ctx, <-s.outcomes)
	}
}

// fresh are the parts that were submitted in this try: the others may
// have had their final receipt.
func (s *sending) fresh() []submissions.Outcome {
	parts := make([]submissions.Outcome, s.Parts)
	for i, t := range s.tickets {
		if t != nil {
			parts[i] = s.parts[i]
		}
	}
	return parts
}

// note records that the SMSC has one of several parts.
func (s *sending) note(ctx context.Context, p submissions.Part) {
	if s.Parts == 1 {
		return
	}
	o := &s.parts[p.N-1]
	s.noting.Add(1)
	s.submissions.Note(ctx, submissions.Part{Message: s.Message, N: p.N}, o.ID, func(noted bool) {
		o.Noted = noted
		s.noting.Done()
	})
}

// record remembers the ids of accepted parts, for their receipts, and what a
// further try must know. It returns the message's outcome.
func (s *sending) record(ctx context.Context) error {
	s.noting.Wait()
	failure, dead := s.failure, message.IsPermanent(s.failure)
	ctx = context.WithoutCancel(ctx) // what the SMSC has must be remembered also when there is no time
	if err := s.submissions.Accepted(ctx, s.Message, s.fresh(), dead); err != nil {
		return err
	}
	unknown := errors.Is(failure, errUnknown)
	if failure == nil || dead || !unknown && s.Parts == 1 {
		return failure
	}
	if err := s.submissions.Unanswered(ctx, s.Message, s.parts); err != nil {
		return err
	}
	if unknown { // a late answer or a receipt may have come by the next try
		return message.RetryAfter(s.nextLook(0), failure)
	}
	return failure
}
