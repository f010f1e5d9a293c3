package binds

import (
	"container/list"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/internal/loglimit"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// Queue gives submits, in the order they came, to whichever bind may take one.
type Queue struct {
	settings   *Settings
	limiter    *loglimit.Limiter
	onThrottle func(bind string, throttled bool)

	mu           sync.Mutex
	urgent       list.List // those that were throttled, or not written, come before all others
	queries      list.List // query_sm; whoever hands them in sees to it that they are few
	normal       list.List
	transmitters []*transmitter
	turn         int
	timer        *time.Timer
	closed       bool
	stopped      chan struct{}

	version atomic.Uint32 // the lowest of all binds'
}

func newQueue(s *Settings, onThrottle func(bind string, throttled bool)) *Queue {
	q := &Queue{settings: s, limiter: loglimit.New(time.Minute), onThrottle: onThrottle, stopped: make(chan struct{})}
	q.timer = time.AfterFunc(time.Hour, q.look)
	q.timer.Stop()
	q.version.Store(uint32(s.InterfaceVersion))
	return q
}

// Version is the lowest interface_version of all binds that submit.
func (q *Queue) Version() uint8 { return uint8(q.version.Load()) }

// Stopped is closed when nothing is sent any more.
func (q *Queue) Stopped() <-chan struct{} { return q.stopped }

// Stop ends the queue; what waits in it is never sent.
func (q *Queue) Stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timer.Stop()
	q.closed = true
	close(q.stopped)
}

// Submit hands a submit in.
func (q *Queue) Submit(s *Submit) {
	if s.Query {
		q.add(s, &q.queries)
		return
	}
	q.add(s, &q.normal)
}

// SubmitFirst hands a submit in before all others.
func (q *Queue) SubmitFirst(s *Submit) { q.add(s, &q.urgent) }

func (q *Queue) add(s *Submit, l *list.List) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.join(l)
	q.schedule(time.Now())
}

// Withdraw takes back a submit that waits; false when it was sent already.
func (q *Queue) Withdraw(s *Submit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.withdraw(s)
}

func (q *Queue) withdraw(s *Submit) bool {
	waits := s.in != nil
	if waits {
		s.leave()
	}
	return waits
}

// Abandon is the end of the wait for a submit: it is withdrawn, or its answer
// will be a late one. ok is false when Done is being called.
func (q *Queue) Abandon(s *Submit) (withdrawn, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.withdraw(s) {
		return true, true
	}
	if s.attempt == nil {
		return false, false
	}
	q.release(s.attempt)
	return false, true
}

// release ends the wait for an attempt. It reports whether it was waited for.
func (q *Queue) release(a *attempt) bool {
	if a.submit.attempt != a {
		return false
	}
	a.submit.attempt = nil
	a.tx.full = false
	a.tx.count(-1)
	return true
}

// look sends what may be sent by now.
func (q *Queue) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.transmitters {
		t.full = false
	}
	q.schedule(time.Now())
}

// schedule sends what may be sent.
func (q *Queue) schedule(now time.Time) {
	for !q.closed {
		s := q.first()
		if s == nil {
			return
		}
		t, wait := q.choose(now)
		if t == nil {
			if wait > 0 {
				q.timer.Reset(wait)
			}
			return
		}
		if t.send(s, now) {
			s.leave()
		}
	}
}

// first is the submit whose turn it is; nil when none waits.
func (q *Queue) first() *Submit {
	for _, l := range []*list.List{&q.urgent, &q.queries, &q.normal} {
		if l.Len() > 0 {
			return l.Front().Value.(*Submit)
		}
	}
	return nil
}

// choose finds the next bind that may take a submit, or says when to look again;
// 0 is when something happens.
func (q *Queue) choose(now time.Time) (chosen *transmitter, wait time.Duration) {
	for i := range q.transmitters {
		t := q.transmitters[(q.turn+i)%len(q.transmitters)]
		if !t.ready() {
			continue
		}
		w := t.pace.wait(now)
		if w <= 0 {
			q.turn = (q.turn + i + 1) % len(q.transmitters)
			return t, 0
		}
		if wait == 0 || w < wait {
			wait = w
		}
	}
	if wait > 0 {
		q.settings.Pace()
	}
	return nil, wait
}

// attach gives a transmitter its bound session.
func (q *Queue) attach(t *transmitter, s *session.Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.session, t.peer, t.full, t.unbound = s, s.Peer(), false, false
	q.agree()
	q.schedule(time.Now())
}

// detach takes the session away: nothing more is sent through it.
func (q *Queue) detach(t *transmitter, s *session.Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.session == s {
		t.session = nil
	}
}

// agree finds out what messages may have that go out on any of the binds. A bind
// that was never up says nothing.
func (q *Queue) agree() {
	lowest := uint8(math.MaxUint8)
	for _, t := range q.transmitters {
		if t.peer.Version != 0 {
			lowest = min(lowest, t.peer.Version)
		}
	}
	q.version.Store(uint32(lowest))
}

var errNotBound = errors.New("the SMSC says, by ESME_RINVBNDSTS, that the bind is lost")

// outcome is what the end of an attempt leads to outside the queue's mutex.
type outcome struct {
	Result
	waited          bool // somebody waits for the result
	again           bool // the submit is queued again
	end             bool // the session ends: the SMSC has lost the bind
	throttleChanged bool
	throttled       bool
}

// settle takes an attempt out of its window, and goes on.
func (q *Queue) settle(a *attempt, p *pdu.PDU, err error) (o outcome) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	t := a.tx
	o.waited = q.release(a)
	switch {
	case errors.Is(err, session.ErrNotSent):
		o.again = o.waited
	case err != nil:
		o.Unanswered = a.unanswered(err)
	default:
		o.Result = resultOf(p)
		o.Late = !o.waited
	}
	if err == nil && o.waited {
		o.throttleChanged = t.judge(a, o.Status, now)
		o.throttled = t.throttled
		if !a.submit.Query {
			t.metrics.answered(o.Status, now.Sub(a.sentAt))
		}
		switch o.Status {
		case pdu.StatusInvBndSts:
			t.unbound = true
		case pdu.StatusInvOptParStream, pdu.StatusOptParNotAllwd, pdu.StatusInvOptParamVal:
			o.again = a.withReference
			t.rejectsUMR = t.rejectsUMR || o.again
		}
	}
	if o.again {
		a.submit.join(&q.urgent)
	}
	o.end = t.unbound && t.inFlight == 0
	q.schedule(now)
	return o
}

func (q *Queue) warn(what, bind string, details ...any) {
	if others, ok := q.limiter.Allow(what+bind, time.Now()); ok {
		q.settings.Logger.Warn(what, append(details, "bind", bind, "others_before", others)...)
	}
}

// tick sends what could not be sent, and shows what the binds have learned and do, per
// second.
func (q *Queue) tick(now time.Time) {
	q.look()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.transmitters {
		t.metrics.learned.Set(t.pace.throttle.rate(now, float64(t.pace.limit.Most)))
		t.metrics.actual.Set(t.pace.recent.rate(now))
	}
}
