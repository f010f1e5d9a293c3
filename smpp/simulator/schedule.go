package simulator

import (
	"container/heap"
	"sync"
	"time"
)

// granularity is what moments are rounded up to, so that at high rates many
// things are done at each waking.
const granularity = time.Millisecond

// schedule does things later, in the order of their moments; those of the same
// moment in the order they were given.
type schedule struct {
	mu     sync.Mutex
	items  items
	next   uint64
	wake   chan struct{}
	stop   chan struct{}
	closed bool
	group  sync.WaitGroup
}

type item struct {
	at    int64 // Unix nanoseconds
	order uint64
	do    func()
}

func newSchedule() *schedule {
	s := &schedule{wake: make(chan struct{}, 1), stop: make(chan struct{})}
	s.group.Go(s.run)
	return s
}

// after does something when d is over; at once, in the caller's goroutine, when
// d is not positive. What is done must not block.
func (s *schedule) after(d time.Duration, do func()) {
	if d <= 0 {
		do()
		return
	}
	at := time.Now().Add(d).UnixNano()
	at += int64(granularity) - 1 - (at-1)%int64(granularity)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.next++
	heap.Push(&s.items, item{at, s.next, do})
	first := s.items[0].order == s.next
	s.mu.Unlock()
	if first {
		signal(s.wake)
	}
}

func (s *schedule) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for _, do := range s.due(timer) {
			do()
		}
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.stop:
			return
		}
	}
}

// due takes what is due, and sets the timer to what is next.
func (s *schedule) due(timer *time.Timer) (list []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UnixNano()
	for len(s.items) > 0 && s.items[0].at <= now {
		list = append(list, heap.Pop(&s.items).(item).do)
	}
	if len(s.items) > 0 {
		timer.Reset(time.Duration(s.items[0].at - now))
	}
	return list
}

// close forgets what is not done yet.
func (s *schedule) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
	}
	s.items = nil
	s.mu.Unlock()
	s.group.Wait()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// items is a heap.Interface.
type items []item

func (l items) Len() int { return len(l) }
func (l items) Less(i, j int) bool {
	return l[i].at < l[j].at || l[i].at == l[j].at && l[i].order < l[j].order
}
func (l items) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *items) Push(x any)   { *l = append(*l, x.(item)) }
func (l *items) Pop() any {
	old := *l
	last := old[len(old)-1]
	old[len(old)-1] = item{}
	*l = old[:len(old)-1]
	return last
}
