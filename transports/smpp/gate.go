package smpp

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/transports/smpp/submissions"
)

// gate gives submits, in the order they came, to whichever bind may take one.
type gate struct {
	metrics *metrics
	news    func(l *lane, throttled bool) // called without the lock, of a change
	given   func(p submissions.Part, id string) (repeated bool)

	mu     sync.Mutex
	urgent queue // those that were throttled come before all others
	asking queue // query_sm; whoever hands them in sees to it that they are few
	normal queue
	lanes  []*lane
	turn   int
	timer  *time.Timer
	done   chan struct{} // closed when nothing is written any more

	version atomic.Uint32 // the lowest of all binds'
	refers  atomic.Bool   // some may get user_message_reference
}

func newGate(m *metrics, news func(*lane, bool), given func(submissions.Part, string) bool) *gate {
	g := &gate{metrics: m, news: news, given: given, done: make(chan struct{})}
	g.timer = time.AfterFunc(time.Hour, g.wake)
	g.timer.Stop()
	g.refers.Store(true)
	return g
}

func (g *gate) addLane(l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes = append(g.lanes, l)
}

// submit hands a ticket in; its outcome comes through its channel.
func (g *gate) submit(t *ticket, urgent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case t.query:
		g.asking.push(t)
	case urgent:
		g.urgent.push(t)
	default:
		g.normal.push(t)
	}
	g.pump(time.Now())
}

// later hands a ticket in when it has rested for a while.
func (g *gate) later(t *ticket, rest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.resting = time.AfterFunc(rest, func() { g.rested(t) })
}

func (g *gate) rested(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.resting == nil {
		return // taken back
	}
	t.resting = nil
	g.normal.push(t)
	g.pump(time.Now())
}

// await is the outcome of a query that was handed in. When ctx ends first, one
// that still waits is taken back; of one that is underway no answer is wanted.
func (g *gate) await(ctx context.Context, t *ticket) (outcome, error) {
	select {
	case o := <-t.outcome:
		return o, nil
	case <-ctx.Done():
		g.withdraw(t)
		return outcome{}, ctx.Err()
	case <-g.done:
		return outcome{}, errStopped
	}
}

// errStopped leaves the message where it was.
var errStopped = submissions.ErrStopped

// withdraw takes back a ticket that waits; false when it is written already.
func (g *gate) withdraw(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.remove(t)
}

func (g *gate) remove(t *ticket) bool {
	switch {
	case t.resting != nil:
		t.resting.Stop()
		t.resting = nil
		return true
	case t.queued:
		_ = g.normal.remove(t) || g.urgent.remove(t) || g.asking.remove(t)
		return true
	}
	return false
}

// abandon is the end of the wait for a ticket: it is taken back, or its answer
// will be a late one. False says that its outcome is on its way.
func (g *gate) abandon(t *ticket) (takenBack, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.remove(t) {
		return true, true
	}
	if t.lane.pending[t.sequence] != t {
		return false, false
	}
	delete(t.lane.pending, t.sequence)
	t.lane.pace.arrivals.forget(t.mark, time.Now())
	t.lane.late(t.sequence, t)
	g.metrics.window(t.lane)
	return false, true
}

func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pump(time.Now())
}

// pump writes what may be written.
func (g *gate) pump(now time.Time) {
	for g.urgent.head != nil || g.asking.head != nil || g.normal.head != nil {
		l, wait := g.choose(now)
		if l == nil {
			if wait > 0 {
				g.timer.Reset(wait)
			}
			return
		}
		l.write(g.next(), now)
		g.metrics.window(l)
	}
}

// next is the ticket whose turn it is; there is one.
func (g *gate) next() *ticket {
	for _, q := range []*queue{&g.urgent, &g.asking} {
		if t := q.pop(); t != nil {
			return t
		}
	}
	return g.normal.pop()
}

// choose finds the next bind that may take one, or says when to look again; 0 is
// when something happens.
func (g *gate) choose(now time.Time) (chosen *lane, wait time.Duration) {
	for i := range g.lanes {
		l := g.lanes[(g.turn+i)%len(g.lanes)]
		if l.link == nil || l.unbound || len(l.pending) >= l.window || l.link.backlogged() {
			continue
		}
		w := l.pace.wait(now)
		if w <= 0 {
			g.turn = (g.turn + i + 1) % len(g.lanes)
			return l, 0
		}
		if wait == 0 || w < wait {
			wait = w
		}
	}
	return nil, wait
}

// attach gives a lane its bound connection.
func (g *gate) attach(l *lane, k *link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.link, l.unbound = k, false
	g.pump(time.Now())
}

// agree takes down on what terms a lane was bound.
func (g *gate) agree(l *lane, agreed terms) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.agreed = agreed
	g.compare()
}

// compare finds out what messages may have that go out on any of the binds.
func (g *gate) compare() {
	lowest, refers := uint32(math.MaxUint32), false
	for _, l := range g.lanes {
		if l.agreed.version == 0 { // not bound yet
			refers = true
			continue
		}
		lowest, refers = min(lowest, uint32(l.agreed.version)), refers || l.refers()
	}
	g.version.Store(lowest)
	g.refers.Store(refers)
}

// spent: the SMSC refuses all that is submitted through a lane, and has answered
// what was.
func (g *gate) spent(l *lane) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return l.unbound && len(l.pending) == 0
}

// detach takes the connection away. What was underway on it is unknown; what was
// not handed to the connection yet goes out before all others on the next.
func (g *gate) detach(l *lane, k *link, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.link != k {
		return
	}
	now := time.Now()
	l.link = nil
	l.pace.arrivals.forgetAll(now)
	for _, sequence := range k.recall() {
		if t := l.pending[sequence]; t != nil {
			delete(l.pending, sequence)
			g.urgent.push(t)
		}
	}
	for sequence, t := range l.pending {
		delete(l.pending, sequence)
		t.end(outcome{unknown: true, unknowing: why})
	}
	g.pump(now)
	g.metrics.window(l)
}

// overdue gives up the submits that have gone unanswered for longer than
// timeout, and says how many they were.
func (g *gate) overdue(l *lane, timeout time.Duration) (submits int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	limit := now.Add(-timeout)
	for sequence, t := range l.pending {
		if t.mark.sentAt.After(limit) {
			continue
		}
		delete(l.pending, sequence)
		l.pace.arrivals.forget(t.mark, now)
		if !t.query {
			submits++
			l.late(sequence, t) // before anybody can look for it: its answer may be here
		}
		t.end(outcome{unknown: true, unknowing: "no answer within " + timeout.String()})
	}
	g.pump(now)
	g.metrics.window(l)
	return submits
}

// close ends the gate's timer; nothing is written after it.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer.Stop()
	close(g.done)
	g.urgent, g.asking, g.normal = queue{}, queue{}, queue{}
}

// rates are what a bind may do, has learned and does, per second.
func (g *gate) rates(l *lane) (learned, actual float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	l.pace.grow(now)
	return l.pace.learned, l.pace.recent.rate(now)
}
