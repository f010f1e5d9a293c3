package worker

import (
	"sync"
	"sync/atomic"
	"time"
)

// limit is how many deliveries of a subscription are in flight at most. Where nobody fixes it,
// it follows Little's law, in flight = rate × time: as many as are settled in holdTime, or in
// twice the time that one takes when few are in flight, where that is longer. So a quick
// handler gets enough to keep the broker busy, and a slow one as many as it handles side by
// side, while none makes its messages wait much longer than they need to.
type limit struct {
	floor, ceiling int
	publish        func(limit int) // to those who look
	size           atomic.Int64
	full           atomic.Bool // so many were in flight in this round

	mu      sync.Mutex
	settled int           // in this round, which lasts until they are as many as the limit
	took    time.Duration // from receiving to settling, all of them together
	least   time.Duration // what one took on average in the best round
}

const (
	leastInFlight = 20
	mostInFlight  = 500 // the audit counts on it, where the broker does not say how many there are
	holdTime      = time.Second
)

// newLimit is a limit that is fixed, or 0 for one that chooses itself.
func newLimit(fixed int, publish func(limit int)) *limit {
	l := &limit{floor: fixed, ceiling: fixed, publish: publish}
	if fixed == 0 {
		l.floor, l.ceiling = leastInFlight, mostInFlight
	}
	l.set(l.floor)
	return l
}

func (l *limit) now() int { return int(l.size.Load()) }

func (l *limit) set(size int) {
	l.size.Store(int64(size))
	l.publish(size)
}

// received says how many deliveries are in flight now.
func (l *limit) received(inFlight int64) {
	if inFlight >= l.size.Load() {
		l.full.Store(true)
	}
}

// settle takes the time of a delivery into account. Only a round in which the limit was
// reached says something about it.
func (l *limit) settle(took time.Duration) {
	if l.floor == l.ceiling {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled, l.took = l.settled+1, l.took+took
	size := l.now()
	if l.settled < size {
		return
	}
	each := max(l.took/time.Duration(l.settled), time.Microsecond)
	l.settled, l.took = 0, 0
	if !l.full.Swap(false) {
		return
	}
	if size == l.floor || each < l.least {
		l.least = each
	}
	next := int(float64(size) * float64(max(holdTime, 2*l.least)) / float64(each))
	next = max(l.floor, min(next, 2*size, l.ceiling))
	if next < size*3/4 || next > size*5/4 || next == l.ceiling && next > size {
		l.set(next)
	}
}
