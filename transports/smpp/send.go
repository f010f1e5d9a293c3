package smpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"switchboard/internal/catalogue"
	"switchboard/message"
	"switchboard/smpp/pdu"
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
	*planner
	logger      *slog.Logger
	metrics     *metrics
	submissions *submissions.Store
	work        *sync.WaitGroup // late answers that are being recorded
}

func newSender(r *run, m *metrics) *sender {
	return &sender{
		planner: newPlanner(r.options, r.logger, r.binds.Queue),
		logger:  r.logger, metrics: m, submissions: r.submissions, work: &r.work,
	}
}

// sending is one try at a message.
type sending struct {
	*sender
	*plan
	submits  []*submit // nil where the SMSC has the part already
	parts    []submissions.Outcome
	left     int         // submits that are not settled
	leaving  bool        // no more time
	results  chan result // the submits'
	failure  error       // the first, or one that is for good
	recorded sync.WaitGroup

	recording  errgroup.Group // of accepted parts
	unrecorded error          // why the only part could not be
}

// submit is one part of a sending.
type submit struct {
	binds.Submit
	part     submissions.Part
	id       string // the SMSC's, of the last answer
	settled  bool
	resends  int // submits after one that went unanswered
	refusals int // answers that asked for less traffic
}

type result struct {
	of *submit
	binds.Result
}

// send submits the parts of a message that the SMSC does not have; known are
// those it has, nil when the message was never in flight before.
func (s *sender) send(ctx context.Context, m *message.Message, known []submissions.Outcome) (providerID string, err error) {
	p, err := s.plan(m, s.concatReference(m, known))
	if err != nil {
		return "", message.Permanent(err)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	one := s.newSending(p, known)
	defer one.recorded.Done()
	one.submitAll()
	one.settleAll(ctx)
	if err := one.record(ctx); err != nil {
		return "", err
	}
	return one.parts[0].ID, nil
}

func (s *sender) newSending(p *plan, known []submissions.Outcome) *sending {
	one := &sending{
		sender: s, plan: p, submits: make([]*submit, p.Parts), parts: make([]submissions.Outcome, p.Parts),
		results: make(chan result, p.Parts),
	}
	copy(one.parts, known)
	one.Resubmitted = known != nil // the SMSC may have what it refused, and what a process submitted that died
	one.recorded.Add(1)
	return one
}

// concatReference marks the parts of a message's text: as it marked those that
// the SMSC has already, or may have.
func (s *sender) concatReference(m *message.Message, known []submissions.Outcome) uint16 {
	for _, o := range known {
		if o.ConcatReference != 0 {
			return o.ConcatReference
		}
	}
	return s.concatReferences.next(m.To)
}

func (s *sending) submitAll() {
	for i, body := range s.bodies {
		if s.parts[i].Accepted {
			continue
		}
		one := &submit{part: submissions.Part{Message: s.Message, N: i + 1}}
		one.Body = pdu.Raw{ID: pdu.CmdSubmitSM, Data: body}
		if one.part.Reference() != 0 {
			one.Submit.Reference = referenceSize
		}
		one.Done = func(r binds.Result) bool { return s.answered(one, r) }
		s.submits[i] = one
		s.left++
		s.queue.Submit(&one.Submit)
	}
}

// answered takes what became of a submit. It is called by a bind, and must not
// block.
func (s *sending) answered(one *submit, r binds.Result) (mistaken bool) {
	accepted := r.Unanswered == nil && r.Status == pdu.StatusOK && r.ID != ""
	if r.Late {
		if accepted {
			s.submissions.Given(one.part, r.ID)
		}
		s.answeredLate(one, r)
		return false
	}
	defer func() { s.results <- result{one, r} }() // also when this panics: somebody waits
	if r.Unanswered == nil && r.Status == pdu.StatusOK {
		s.submissions.Accepting(one.part, r.ID)
	}
	if accepted {
		one.id = r.ID
		if mistaken = s.submissions.Given(one.part, r.ID); mistaken {
			s.metrics.protocolError("repeated message_id")
		}
	}
	return mistaken
}

// settleAll takes the parts' results as they come. When one fails, those that
// are not in flight are withdrawn.
func (s *sending) settleAll(ctx context.Context) {
	for s.left > 0 {
		select {
		case r := <-s.results:
			s.take(ctx, r)
		case <-ctx.Done():
			s.leave(ctx, ctx.Err())
		case <-s.queue.Stopped():
			s.leave(ctx, submissions.ErrStopped)
		}
	}
}

func (s *sending) take(ctx context.Context, r result) {
	settled, err := s.settle(ctx, r)
	if !settled {
		return
	}
	s.done(r.of)
	if err == nil {
		return
	}
	if s.fail(r.of.part, err); s.left > 0 {
		for _, one := range s.submits {
			if one != nil && !one.settled && s.queue.Withdraw(&one.Submit) {
				s.done(one)
			}
		}
	}
}

func (s *sending) done(one *submit) {
	one.settled = true
	s.left--
}

// fail notes why the message is not sent.
func (s *sending) fail(p submissions.Part, err error) {
	if s.failure != nil {
		return
	}
	if s.failure = err; s.Parts > 1 {
		s.failure = fmt.Errorf("segment %d of %d: %w", p.N, s.Parts, err)
	}
}

// settle is what a result means for its part: it is accepted, it failed, or it
// is submitted again and not settled. A part whose message has failed is not
// submitted again.
func (s *sending) settle(ctx context.Context, r result) (settled bool, err error) {
	part := &s.parts[r.of.part.N-1]
	switch {
	case r.Unanswered != nil:
		return s.unanswered(r.of, r.Unanswered)
	case r.Status == pdu.StatusOK:
		*part = submissions.Outcome{Accepted: true, ID: r.ID}
		s.accepted(ctx, r.of.part, r.ID)
		return true, nil
	case r.Status.Throttling() && s.mayGoOn() && s.wait(r.of):
		return false, nil
	}
	part.Unanswered = time.Time{}
	return true, statusError(r.Status)
}

// mayGoOn reports whether parts may be submitted again.
func (s *sending) mayGoOn() bool { return s.failure == nil && !s.leaving }

// wait submits a part again that the SMSC had no room for: first before all
// others, then after them and ever later. False is to leave it.
func (s *sending) wait(one *submit) bool {
	switch one.refusals++; {
	case one.refusals > roomRefusals:
		return false
	case one.refusals <= urgentRefusals:
		s.queue.SubmitFirst(&one.Submit)
	default:
		rest := max(s.options.ThrottleDelay.Std(), shortestRest)
		s.queue.SubmitLater(&one.Submit, rest<<(one.refusals-urgentRefusals-1))
	}
	return true
}

// unanswered does what unknown_policy says.
func (s *sending) unanswered(one *submit, why error) (settled bool, err error) {
	err = fmt.Errorf("%w: %w", errUnknown, why)
	s.metrics.unknown.Inc()
	switch {
	case s.options.UnknownPolicy == unknownFail:
		return true, message.Permanent(err)
	case s.options.UnknownPolicy == unknownResend && one.resends == maxResends:
		return true, message.Permanent(fmt.Errorf("%w; it was submitted %d times", err, maxResends+1))
	case s.options.UnknownPolicy == unknownResend && s.mayGoOn():
		one.resends++
		s.Message = s.Again()
		s.queue.SubmitFirst(&one.Submit)
		return false, nil
	}
	s.parts[one.part.N-1].Unanswered = time.Now()
	return true, err
}

// leave ends the sending when there is no more time: what waits is withdrawn, and
// what is in flight is unknown, whatever the policy: who takes the message up
// again must not submit it as if it were new.
func (s *sending) leave(ctx context.Context, cause error) {
	s.leaving = true
	var unknown, waiting submissions.Part
	for _, one := range s.submits {
		if one == nil || one.settled {
			continue
		}
		withdrawn, ok := s.queue.Abandon(&one.Submit)
		if !ok {
			continue
		}
		s.done(one)
		if withdrawn {
			waiting = one.part
			continue
		}
		s.metrics.unknown.Inc()
		s.parts[one.part.N-1].Unanswered, unknown = time.Now(), one.part
	}
	switch {
	case unknown.Message != nil:
		s.fail(unknown, fmt.Errorf("%w: there was no time to wait for the answer", errUnknown))
	case waiting.Message != nil:
		s.fail(waiting, cause)
	}
	for s.left > 0 { // their answers are here
		s.take(ctx, <-s.results)
	}
}

// accepted records that the SMSC has a part. With several parts that does not hold
// up the others.
func (s *sending) accepted(ctx context.Context, p submissions.Part, id string) {
	p.Message = s.Message
	ctx = context.WithoutCancel(ctx) // what the SMSC has must be remembered also when there is no time
	record := func() error {
		return guard(s.logger, "recording a submit", func() error { return s.submissions.Accepted(ctx, p, id) })
	}
	if s.Parts == 1 {
		s.unrecorded = record()
		return
	}
	s.recording.Go(record)
}

// record waits until what the SMSC has is recorded, and records what a further try
// must know. It returns the message's outcome.
func (s *sending) record(ctx context.Context) error {
	if err := errors.Join(s.unrecorded, s.recording.Wait()); err != nil {
		return err
	}
	if s.failure == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	switch {
	case message.IsPermanent(s.failure):
		return errors.Join(s.failure, s.submissions.Failed(ctx, s.Message, s.parts))
	case errors.Is(s.failure, errUnknown):
		if err := s.submissions.Unanswered(ctx, s.Message, s.parts); err != nil {
			return err
		}
		return message.RetryAfter(s.nextLook(0), s.failure) // a late answer or a receipt may have come by then
	}
	return s.failure
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
