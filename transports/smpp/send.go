package smpp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/internal/catalogue"
	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/transports"
	"switchboard/transports/smpp/binds"
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
	// maxResends is how often unknown_policy resend submits a part again.
	maxResends = 3
)

// errUnknown is a submit without an answer: the SMSC may have the message.
var errUnknown = errors.New("it is unknown whether the SMSC has the message")

// sender submits messages, and records what became of them.
type sender struct {
	shared
	work      *sync.WaitGroup // late answers that are being recorded
	longTexts atomic.Uint32   // counted on, from where chance has each replica begin
}

// sending is one try at a message.
type sending struct {
	*sender
	*plan
	parts    []part
	failed   chan struct{} // closed when one of several parts has failed
	once     sync.Once     // for closing it
	recorded sync.WaitGroup
}

// part is one submit_sm of a sending.
type part struct {
	binds.Submit
	submissions.Part
	submissions.Outcome
	body     pdu.Raw
	plain    pdu.Raw
	results  chan binds.Result
	rested   <-chan time.Time // when it is submitted again; nil unless it rests
	resends  int              // submits after one that went unanswered
	refusals int              // answers that asked for less traffic
	failure  error            // why it was not sent
}

// send submits the parts of a message that the SMSC does not have; known are
// those it has, nil when the message was never in flight before.
func (s *sender) send(ctx context.Context, m *message.Message, known []submissions.Outcome) (providerID string, err error) {
	p, err := s.plan(m, s.concatReference(known))
	if err != nil {
		return "", message.Permanent(err)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	one := s.newSending(p, known)
	defer one.recorded.Done()
	one.submit(ctx)
	if err := one.outcome(ctx); err != nil {
		return "", err
	}
	return one.parts[0].ID, nil
}

func (s *sender) newSending(p *plan, known []submissions.Outcome) *sending {
	one := &sending{sender: s, plan: p, parts: make([]part, p.Parts)}
	one.recorded.Add(1)
	if p.Parts > 1 {
		one.failed = make(chan struct{})
	}
	one.Resubmitted = known != nil // the SMSC may have what it refused, and what a process submitted that died
	for i, body := range p.bodies {
		part := &one.parts[i]
		part.Part, part.results = submissions.Part{Message: p.Message, N: i + 1}, make(chan binds.Result, 1)
		part.body = pdu.Raw{ID: pdu.CmdSubmitSM, Data: body}
		part.Body = &part.body
		if part.Reference() != 0 {
			part.plain = pdu.Raw{ID: pdu.CmdSubmitSM, Data: body[:len(body)-referenceSize]}
			part.Plain = &part.plain
		}
		part.Done = func(r binds.Result) { one.answered(part, r) }
		if i < len(known) {
			part.Outcome = known[i]
		}
	}
	return one
}

// concatReference marks the parts of a text: as it marked those that the SMSC may have;
// else with the next number, so that one person's texts differ. 0 is none.
func (s *sender) concatReference(known []submissions.Outcome) uint16 {
	for _, o := range known {
		if o.ConcatReference != 0 {
			return o.ConcatReference
		}
	}
	for {
		if next := uint16(s.longTexts.Add(1)); next != 0 {
			return next
		}
	}
}

// submit submits the parts, and returns when all are settled.
func (s *sending) submit(ctx context.Context) {
	var last *part
	for i := range s.parts {
		if one := &s.parts[i]; !one.Accepted {
			s.queue.Submit(&one.Submit)
			last = one
		}
	}
	if last == nil {
		return
	}
	var others sync.WaitGroup
	for i := range s.parts {
		if one := &s.parts[i]; one != last && !one.Accepted {
			others.Go(func() { s.follow(ctx, one) })
		}
	}
	s.follow(ctx, last)
	others.Wait()
}

// follow waits until a part is settled, and notes why it failed.
func (s *sending) follow(ctx context.Context, one *part) {
	one.failure = s.guard("submitting a part", func() error { return s.await(ctx, one) })
	if one.failure != nil && s.failed != nil {
		s.once.Do(func() { close(s.failed) })
	}
}

// answered takes what became of a submit. It is called by a bind, and must not
// block.
func (s *sending) answered(one *part, r binds.Result) {
	if r.Late {
		defer s.answeredLate(one, r)
	} else {
		defer func() { one.results <- r }() // also when this panics: somebody waits
	}
	if r.Unanswered == nil && r.Status == pdu.StatusOK && s.submissions.Accepting(one.Part, r.ID) {
		s.metrics.protocolError("repeated message_id")
	}
}

// await takes the results of a part until it is settled. One that is not in flight
// is withdrawn when another has failed.
func (s *sending) await(ctx context.Context, one *part) error {
	failed := s.failed
	for {
		select {
		case r := <-one.results:
			if settled, err := s.settle(ctx, one, r, s.mayGoOn()); settled {
				return err
			}
		case <-one.rested:
			one.rested = nil
			s.queue.Submit(&one.Submit)
		case <-failed:
			if one.rested != nil || s.queue.Withdraw(&one.Submit) {
				return nil
			}
			failed = nil
		case <-ctx.Done():
			return s.leave(ctx, one, ctx.Err())
		case <-s.queue.Stopped():
			return s.leave(ctx, one, submissions.ErrStopped)
		}
	}
}

// mayGoOn reports whether parts may be submitted again.
func (s *sending) mayGoOn() bool {
	select {
	case <-s.failed:
		return false
	default:
		return true
	}
}

// settle is what a result means for its part: it is accepted, it failed, or it
// is submitted again, if it may be, and not settled.
func (s *sending) settle(ctx context.Context, one *part, r binds.Result, again bool) (settled bool, err error) {
	switch {
	case r.Unanswered != nil:
		return s.unanswered(one, r.Unanswered, again)
	case r.Status == pdu.StatusOK:
		one.Outcome = submissions.Outcome{Accepted: true, ID: r.ID}
		// What the SMSC has must be recorded also when there is no time.
		return true, s.submissions.Accepted(context.WithoutCancel(ctx), one.Part, r.ID)
	case r.Status.Throttling() && again && s.wait(one):
		return false, nil
	}
	one.Unanswered = time.Time{}
	return true, statusError(r.Status)
}

// wait submits a part again that the SMSC had no room for: first before all
// others, then after them and ever later. False is to leave it.
func (s *sending) wait(one *part) bool {
	switch one.refusals++; {
	case one.refusals > roomRefusals:
		return false
	case one.refusals <= urgentRefusals:
		s.queue.SubmitFirst(&one.Submit)
	default:
		rest := max(s.options.ThrottleDelay.Std(), shortestRest)
		one.rested = time.After(rest << (one.refusals - urgentRefusals - 1))
	}
	return true
}

// unanswered does what unknown_policy says.
func (s *sending) unanswered(one *part, why error, again bool) (settled bool, err error) {
	err = fmt.Errorf("%w: %w", errUnknown, why)
	s.metrics.unknown.Inc()
	switch {
	case s.options.UnknownPolicy == transports.UnknownFail:
		return true, message.Permanent(err)
	case s.options.UnknownPolicy == transports.UnknownResend && one.resends == maxResends:
		return true, message.Permanent(fmt.Errorf("%w; it was submitted %d times", err, maxResends+1))
	case s.options.UnknownPolicy == transports.UnknownResend && again:
		one.resends++
		one.Message = one.Again()
		s.queue.SubmitFirst(&one.Submit)
		return false, nil
	}
	one.Unanswered = time.Now()
	return true, err
}

// leave ends the wait for a part when there is no more time. One that is in flight is
// unknown, whatever the policy: it must not be submitted again as if it were new.
func (s *sending) leave(ctx context.Context, one *part, cause error) error {
	if one.rested != nil {
		return cause
	}
	withdrawn, ok := s.queue.Abandon(&one.Submit)
	switch {
	case !ok: // its answer is here
		_, err := s.settle(ctx, one, <-one.results, false)
		return err
	case withdrawn:
		return cause
	}
	s.metrics.unknown.Inc()
	one.Unanswered = time.Now()
	return fmt.Errorf("%w: there was no time to wait for the answer", errUnknown)
}

// outcome is the message's: nil, or what its parts failed of. It records what a
// further try must know.
func (s *sending) outcome(ctx context.Context) error {
	var failure error
	for i := range s.parts {
		one := &s.parts[i]
		if one.failure != nil && (failure == nil || weight(one.failure) > weight(failure)) {
			failure = one.failure
			if s.Parts > 1 {
				failure = fmt.Errorf("segment %d of %d: %w", one.N, s.Parts, failure)
			}
		}
	}
	if failure == nil {
		return nil
	}
	outcomes := make([]submissions.Outcome, len(s.parts))
	for i := range s.parts {
		outcomes[i] = s.parts[i].Outcome
	}
	ctx = context.WithoutCancel(ctx)
	switch {
	case message.IsPermanent(failure):
		return errors.Join(failure, s.submissions.Failed(ctx, s.Message, outcomes))
	case errors.Is(failure, errUnknown):
		if err := s.submissions.Unanswered(ctx, s.Message, outcomes); err != nil {
			return err
		}
		return message.RetryAfter(s.options.NextLook(0), failure) // a late answer or a receipt may have come by then
	}
	return failure
}

// weight says which of several failures is the message's: one that is for good,
// or else that something is unknown.
func weight(failure error) int {
	switch {
	case message.IsPermanent(failure):
		return 2
	case errors.Is(failure, errUnknown):
		return 1
	}
	return 0
}

func statusError(s pdu.Status) error {
	words := s.Words()
	if p, known := catalogue.SMPP()[s.String()]; known {
		words = p.Sentence("", "")
	}
	err := fmt.Errorf("the SMSC refused submit_sm: %s: %s", s, words)
	if s.Temporary() || ofTheBind(s) {
		return err
	}
	return message.Permanent(err)
}

// ofTheBind reports whether a status finds fault with the bind, not with the
// message.
func ofTheBind(s pdu.Status) bool {
	switch s {
	case pdu.StatusInvBndSts, pdu.StatusBindFail, pdu.StatusInvPaswd, pdu.StatusInvSysID, pdu.StatusInvSysTyp:
		return true
	}
	return false
}
