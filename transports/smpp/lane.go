package smpp

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/smpp/pdu"
)

// lane is a bind that submits, through all its connections. It is guarded by
// its gate's mutex.
type lane struct {
	name     string
	window   int
	link     *link // nil while not bound
	pending  map[uint32]*ticket
	pace     pacer
	throttle bool
	agreed   terms
	averse   bool                             // the SMSC refused our user_message_reference
	unbound  bool                             // the SMSC says that it is not bound: nothing more is submitted
	late     func(sequence uint32, t *ticket) // takes what is not waited for any more

	inUse     prometheus.Gauge
	roundTrip prometheus.Observer
	good      prometheus.Counter
}

func (l *lane) write(t *ticket, now time.Time) {
	t.sequence = l.link.sequence()
	for l.pending[t.sequence] != nil { // the numbers have begun anew
		t.sequence = l.link.sequence()
	}
	t.lane, t.mark = l, l.pace.sent(now)
	l.pending[t.sequence] = t
	frame := t.frame
	if t.refers = t.ours && l.refers(); t.ours && !t.refers {
		frame = frame[:len(frame)-referenceSize]
	}
	l.link.submit(frame, t.sequence)
}

// refers: what is submitted may have user_message_reference, which nobody asked
// for.
func (l *lane) refers() bool { return l.agreed.parameters && !l.averse }

// judge takes down what an answer says about the rate. That one message is
// refused again and again says nothing of it: its recipient's queue may be full.
func (l *lane) judge(t *ticket, status pdu.Status, now time.Time) (began, ended bool) {
	switch throttling := status.Throttling(); {
	case !throttling:
		l.pace.judge(t.mark, false, now)
	case now.Sub(t.refusedAt) >= time.Second:
		t.refusedAt = now
		l.pace.judge(t.mark, true, now)
	}
	throttled := l.pace.learned > 0
	began, ended = throttled && !l.throttle, !throttled && l.throttle
	l.throttle = throttled
	return began, ended
}

// queue is a list of tickets in their order.
type queue struct{ head, tail *ticket }

func (q *queue) push(t *ticket) {
	t.queued, t.elem = true, nil
	if q.head == nil {
		q.head, q.tail = t, t
		return
	}
	q.tail.elem = t
	q.tail = t
}

func (q *queue) pop() *ticket {
	t := q.head
	if t != nil {
		q.head = t.elem
		t.queued, t.elem = false, nil
	}
	return t
}

func (q *queue) remove(t *ticket) bool {
	var before *ticket
	for at := q.head; at != nil; before, at = at, at.elem {
		if at != t {
			continue
		}
		if before == nil {
			q.head = t.elem
		} else {
			before.elem = t.elem
		}
		if q.tail == t {
			q.tail = before
		}
		t.queued, t.elem = false, nil
		return true
	}
	return false
}
