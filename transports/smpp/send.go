package smpp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"switchboard/message"
	"switchboard/store"
)

// sending is one try at a message.
type sending struct {
	*engine
	*plan
	tickets  []*ticket // nil where the SMSC has the part already
	parts    []fate
	left     int          // tickets that are not settled
	leaving  bool         // no more time
	outcomes chan outcome // the tickets'
	failure  error        // the first, or one that is for good
	noting   sync.WaitGroup
	over     sync.WaitGroup // until what is to be remembered is
}

// fate is what became of a part so far.
type fate struct {
	accepted bool
	id       string // the SMSC's, where accepted
	noted    bool   // that it is, is written down already
	unknown  bool
	refused  error
	joint    uint16 // what the part was marked by, in an earlier try
}

// send submits the parts of a message that the SMSC does not have; known are
// those it has, nil when the message was never in hand before.
func (e *engine) send(ctx context.Context, m *message.Message, known []fate) (providerID string, err error) {
	p, err := e.plan(m, e.joint(m, known))
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
	if err := s.writeDown(ctx); err != nil {
		return "", err
	}
	return s.parts[0].id, nil
}

// joint is what the parts of a message's text are marked by: as those that the
// SMSC has already, or may have.
func (e *engine) joint(m *message.Message, known []fate) uint16 {
	for _, f := range known {
		if f.joint != 0 {
			return f.joint
		}
	}
	return e.joints.next(m.To)
}

func (e *engine) newSending(p *plan, known []fate) *sending {
	s := &sending{
		engine: e, plan: p, tickets: make([]*ticket, p.total), parts: make([]fate, p.total),
		outcomes: make(chan outcome, p.total),
	}
	copy(s.parts, known)
	s.again.Store(known != nil) // the SMSC may have what it refused, and what a process submitted that died
	s.over.Add(1)
	return s
}

func (s *sending) submit() {
	for i, frame := range s.frames {
		if s.parts[i].accepted {
			continue
		}
		p := part{s.submitted, i + 1}
		s.tickets[i] = &ticket{frame: frame, part: p, ours: p.reference() != 0, outcome: s.outcomes, sending: s}
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

// fail takes down why the message is not sent.
func (s *sending) fail(p part, err error) {
	if s.failure != nil {
		return
	}
	if s.failure = err; s.total > 1 {
		s.failure = fmt.Errorf("segment %d of %d: %w", p.n, s.total, err)
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
	var unknown, waiting part
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
		s.parts[t.part.n-1].unknown, unknown = true, t.part
	}
	switch {
	case unknown.submitted != nil:
		s.fail(unknown, fmt.Errorf("%w: there was no time to wait for the answer", errUnknown))
	case waiting.submitted != nil:
		s.fail(waiting, cause)
	}
	for s.left > 0 { // their answers are here
		s.take(ctx, <-s.outcomes)
	}
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

// note writes down that the SMSC has one of several parts, and its id: the
// others may take long, and who takes the message up again, and the part's
// receipt, must find it.
func (s *sending) note(ctx context.Context, p part) {
	if s.total == 1 {
		return
	}
	f := &s.parts[p.n-1]
	entries := []store.Entry{s.acceptedEntry(p, f.id)}
	m := s.match(p, f.id)
	named := f.id != "" && !s.twins.are(m.key) && !s.twins.worthless(m.key)
	if named {
		entries = append(entries, s.idEntry(m))
	}
	s.noting.Add(1)
	written := func(err error) {
		f.noted = named && err == nil
		s.noting.Done()
	}
	if s.state.SetAsync(context.WithoutCancel(ctx), written, entries...) != nil {
		s.noting.Done()
	}
}

// writeDown remembers the ids of accepted parts, for their receipts, and what a
// further try must know. It returns the message's outcome.
func (s *sending) writeDown(ctx context.Context) error {
	s.noting.Wait()
	failure, dead := s.failure, message.IsPermanent(s.failure)
	ctx = context.WithoutCancel(ctx) // what the SMSC has must be remembered also when there is no time
	if err := s.rememberIDs(ctx, s.submitted, s.fresh(), dead); err != nil {
		return err
	}
	switch {
	case failure == nil || dead:
		return failure
	case errors.Is(failure, errUnknown):
		return s.awaitWord(ctx, s.submitted, s.parts, failure)
	case s.total > 1:
		if err := s.saveParts(ctx, s.submitted, s.parts); err != nil {
			return err
		}
	}
	return failure
}
