package httpapi

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"switchboard/applications"
	"switchboard/store"
)

const (
	// slowCount is how many queues there are for the lanes that would hold up others.
	slowCount = 8
	// maxSlow bounds how many lanes are in them.
	maxSlow    = 1000
	slowPrefix = "slow/" // of the state store's keys; the value is the queue's name
	slowQueue  = "webhook.slow."
)

// slow are the lanes whose posts fail while others wait behind them. What waits of such a
// lane moves, in its order, from its queue to one of the slow ones, and all that comes after
// it too, until the slow queue is empty. The state store has them, so that a restart keeps
// the order.
type slow struct {
	run    *run
	queues []*waiting // the slow ones

	changes sync.Mutex // held while the state store learns of a change; locked before mu
	mu      sync.Mutex
	lanes   map[string]*waiting // where each waits
}

func slowQueues() []string {
	names := make([]string, slowCount)
	for i := range names {
		names[i] = slowQueue + strconv.Itoa(i)
	}
	return names
}

// load takes over the lanes of a process before this one. What waits of them may be on its
// way back to the queue.
func (s *slow) load(ctx context.Context) error {
	entries, err := s.run.state.Range(ctx, slowPrefix, slowPrefix+"\xff", maxSlow)
	if err != nil {
		return fmt.Errorf("reading who waits in the slow queues: %w", err)
	}
	for _, e := range entries {
		if queue := s.run.waitingIn(e.Value); queue != nil {
			s.lanes[e.Key[len(slowPrefix):]] = queue
		} else if err := s.run.state.Delete(ctx, e.Key); err != nil {
			return fmt.Errorf("forgetting who waited in the slow queues: %w", err)
		}
	}
	return nil
}

// has says whether a lane waits in a slow queue.
func (s *slow) has(lane string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[lane] != nil
}

// begin gives a lane of another queue a slow one, as far as there is room.
func (s *slow) begin(ctx context.Context, lane string, from *waiting) {
	s.changes.Lock()
	defer s.changes.Unlock()
	s.mu.Lock()
	queue, full := s.leastUsed(), len(s.lanes) >= maxSlow
	s.mu.Unlock()
	if full {
		return
	}
	name, _, err := s.run.state.Add(ctx, store.Entry{Key: slowPrefix + lane, Value: queue.name})
	if err != nil {
		s.run.complain.Do(func() { s.run.log.Warn("noting who waits in a slow queue failed; others wait behind it", "error", err) })
		return
	}
	if other := s.run.waitingIn(name); other != nil { // another process gave it this one
		queue = other
	}
	from.handOver(lane, queue)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[lane] = queue
}

func (s *slow) leastUsed() *waiting {
	used := map[*waiting]int{}
	for _, queue := range s.lanes {
		used[queue]++
	}
	least := s.queues[0]
	for _, q := range s.queues {
		if used[q] < used[least] {
			least = q
		}
	}
	return least
}

// move puts something of a lane at the end of its slow queue. False is that the lane has
// none.
func (s *slow) move(ctx context.Context, lane string, in *applications.Received) (bool, error) {
	s.mu.Lock()
	queue := s.lanes[lane]
	if queue == nil {
		s.mu.Unlock()
		return false, nil
	}
	queue.begin()
	s.mu.Unlock()
	err := in.Move(ctx, queue.name, 0)
	queue.end(err)
	return true, err
}

// end ends the waiting of a slow queue's lanes once it is empty.
func (s *slow) end(ctx context.Context, queue *waiting) {
	if !queue.slow || !queue.isEmpty() {
		return
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	var gone []string
	s.mu.Lock()
	for lane, q := range s.lanes {
		if q == queue && queue.isEmpty() {
			gone = append(gone, slowPrefix+lane)
			delete(s.lanes, lane)
		}
	}
	s.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	if err := s.run.state.Delete(context.WithoutCancel(ctx), gone...); err != nil {
		s.run.log.Warn("forgetting who waited in a slow queue failed; the next process does it", "error", err)
	}
}
