package smpp

import (
	"container/heap"
	"time"
)

const (
	// second is the window mt_tps counts in, and a little: clocks are coarse.
	second = time.Second + time.Millisecond
	// arrivalLimit is how long after it was written a submit may at most arrive
	// of which no answer will tell any more.
	arrivalLimit = 2 * time.Second
)

// arrivals knows how many submits may have arrived at the SMSC in the last
// second. No arrival is seen, but each lies between the writing and the answer,
// to it or to any that was written after it, since a connection keeps the order.
// So a submit counts from its writing until a second after that answer. How long
// others were on their way shortens nothing: the next may be faster.
type arrivals struct {
	active   int     // submits that count
	underway []*mark // may not have arrived, in the order written
	ends     endings // of those that have
}

// mark is one submit that counts.
type mark struct {
	sentAt  time.Time
	arrived bool
}

type endings []time.Time

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].Before(e[j]) }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(time.Time)) }
func (e *endings) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// wait is how long it is until fewer than limit count. It may be less, when
// nothing but an answer can tell.
func (a *arrivals) wait(limit int, now time.Time) time.Duration {
	for len(a.ends) > 0 && !a.ends[0].After(now) {
		heap.Pop(&a.ends)
		a.active--
	}
	switch {
	case a.active < limit:
		return 0
	case len(a.ends) == 0:
		return second
	}
	return a.ends[0].Sub(now)
}

// sent counts a submit that is being written.
func (a *arrivals) sent(m *mark) {
	a.active++
	a.underway = append(a.underway, m)
}

// answered takes down that a submit has arrived, at the latest now, and with it
// all that were written before it.
func (a *arrivals) answered(m *mark, now time.Time) {
	if m.arrived {
		return
	}
	for len(a.underway) > 0 && !m.arrived {
		a.arrive(a.underway[0], now)
		a.trim()
	}
}

// forget takes down that nobody waits for a submit's answer any more.
func (a *arrivals) forget(m *mark, now time.Time) {
	if len(a.underway) == 0 {
		return
	}
	latest := m.sentAt.Add(arrivalLimit)
	if latest.Before(now) {
		latest = now
	}
	a.arrive(m, latest)
	a.trim()
}

// forgetAll is forget of all that is underway: the connection is gone.
func (a *arrivals) forgetAll(now time.Time) {
	for len(a.underway) > 0 {
		a.forget(a.underway[0], now)
	}
}

func (a *arrivals) arrive(m *mark, at time.Time) {
	if !m.arrived {
		m.arrived = true
		heap.Push(&a.ends, at.Add(second))
	}
}

func (a *arrivals) trim() {
	for len(a.underway) > 0 && a.underway[0].arrived {
		a.underway[0] = nil
		a.underway = a.underway[1:]
	}
}
