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
)

// slow are the lanes whose posts fail while others wait behind them. What waits of such a
// lane moves, in its order, from its queue to one of the slow ones, and all that comes after
// it too, until none of it is left there. The state store has them, so that a restart keeps
// the order.
type slow struct {
	run    *run
	queues []*waiting // the slow ones

	mu    sync.Mutex
	lanes map[string]*slowLane
}

// slowLane is where a lane waits, and how much of it is there at most.
type slowLane struct {
	queue *waiting
	left  int
	retry *retry // of the first that moves; nil once it has
}

func slowQueues() []string {
	names := make([]string, slowCount)
	for i := range names {
		names[i] = "webhook.slow." + strconv.Itoa(i)
	}
	return names
}

// load takes over the lanes of a process before this one.
func (s *slow) load(ctx context.Context) error {
	entries, err := s.run.state.Range(ctx, slowPrefix, slowPrefix+"\xff", maxSlow)
	if err != nil {
		return fmt.Errorf("reading who waits in the slow queues: %w", err)
	}
	for _, e := range entries {
		lane, queue := e.Key[len(slowPrefix):], s.run.waitingIn(e.Value)
		if queue == nil || queue.length() == 0 {
			if err := s.run.state.Delete(ctx, e.Key); err != nil {
				return fmt.Errorf("forgetting who waited in the slow queues: %w", err)
			}
			continue
		}
		s.lanes[lane] = &slowLane{queue: queue, left: queue.length()}
	}
	return nil
}

// has says whether a lane waits in a slow queue.
func (s *slow) has(lane string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[lane] != nil
}

// begin gives a lane a slow queue, as far as there is room. retry is when its first is posted
// again.
func (s *slow) begin(ctx context.Context, lane string, again *retry) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[lane] = &slowLane{queue: queue, retry: again}
}

func (s *slow) leastUsed() *waiting {
	used := map[*waiting]int{}
	for _, l := range s.lanes {
		used[l.queue]++
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
	l := s.lanes[lane]
	if l == nil {
		s.mu.Unlock()
		return false, nil
	}
	l.left++
	l.queue.begin()
	if l.retry != nil {
		l.queue.adopt(lane, l.retry)
		l.retry = nil
	}
	s.mu.Unlock()
	err := in.Move(ctx, l.queue.name, 0)
	l.queue.end(err)
	if err != nil {
		s.left(ctx, l.queue, lane)
	}
	return true, err
}

// left notes that something of a lane is no longer in a slow queue.
func (s *slow) left(ctx context.Context, queue *waiting, lane string) {
	s.mu.Lock()
	if l := s.lanes[lane]; l != nil && l.queue == queue {
		l.left--
	}
	empty := queue.length() == 0
	var gone []string
	for name, l := range s.lanes {
		if l.queue == queue && (empty || l.left == 0) {
			gone = append(gone, slowPrefix+name)
			delete(s.lanes, name)
		}
	}
	s.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	if err := s.run.state.Delete(context.WithoutCancel(ctx), gone...); err != nil {
		s.run.log.Warn("forgetting who waited in a slow queue failed; the next start does it", "error", err)
	}
}
