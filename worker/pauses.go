package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/store"
)

// Pause is an operator's stop of a queue: nobody consumes it until it is resumed, and
// what is published to it waits.
type Pause struct {
	Who   string    `json:"who,omitempty"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
}

// Pauses are in the state that all workers share, an entry for each queue, so that replicas
// see them and restarts keep them; "0" follows "/".
const (
	pausesFrom = "paused/"
	pausesTo   = "paused0"
	mostPauses = 10_000
)

// SetPause pauses a queue.
func SetPause(ctx context.Context, state store.State, queue string, p Pause) error {
	text, err := json.Marshal(p)
	if err == nil {
		err = state.Set(ctx, store.Entry{Key: pausesFrom + queue, Value: string(text)})
	}
	if err != nil {
		return fmt.Errorf("pausing %s: %w", queue, err)
	}
	return nil
}

// Resume ends the pause of a queue.
func Resume(ctx context.Context, state store.State, queue string) error {
	if err := state.Delete(ctx, pausesFrom+queue); err != nil {
		return fmt.Errorf("resuming %s: %w", queue, err)
	}
	return nil
}

// ReadPauses returns the pauses by queue.
func ReadPauses(ctx context.Context, state store.State) (map[string]Pause, error) {
	entries, err := state.Range(ctx, pausesFrom, pausesTo, mostPauses)
	if err != nil {
		return nil, fmt.Errorf("reading which queues are paused: %w", err)
	}
	all := make(map[string]Pause, len(entries))
	for _, e := range entries {
		var p Pause
		_ = json.Unmarshal([]byte(e.Value), &p) // the key alone pauses
		all[e.Key[len(pausesFrom):]] = p
	}
	return all, nil
}

const (
	// pausesInterval is how soon a process sees a pause, or its end.
	pausesInterval = 2 * time.Second
	// pausesTimeout is how long a look may take. The first holds up the start.
	pausesTimeout = 3 * time.Second
)

// Pauses are the pauses as a process last saw them. A nil *Pauses has none.
type Pauses struct {
	state   store.State
	mu      sync.Mutex
	now     map[string]Pause
	changed chan struct{} // closed at the next change
}

// FollowPauses looks at once, and then again and again until ctx ends. While the state is out
// of reach what was seen last holds. A nil state has none.
func FollowPauses(ctx context.Context, state store.State, log *slog.Logger) *Pauses {
	if state == nil {
		return nil
	}
	p := &Pauses{state: state, changed: make(chan struct{})}
	if err := p.Look(ctx); err != nil {
		log.Warn("which queues are paused is not known; they are consumed until it is", "error", err)
	}
	go func() {
		for backoff.Sleep(ctx, pausesInterval) {
			_ = p.Look(ctx) // the state store's own dependency says that it is away
		}
	}()
	return p
}

// Look sees what has changed.
func (p *Pauses) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pausesTimeout)
	defer cancel()
	all, err := ReadPauses(ctx, p.state)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps.Equal(all, p.now) {
		return nil
	}
	p.now = all
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}

// Of are the pauses of some queues.
func (p *Pauses) Of(queues ...string) map[string]Pause {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]Pause{}
	for _, queue := range queues {
		if pause, is := p.now[queue]; is {
			all[queue] = pause
		}
	}
	return all
}

// await waits until a queue is paused, or is not; false when ctx ends first.
func (p *Pauses) await(ctx context.Context, queue string, paused bool) bool {
	for {
		p.mu.Lock()
		_, is := p.now[queue]
		changed := p.changed
		p.mu.Unlock()
		if is == paused {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// Consume is Broker.Consume for workers that settle deliveries by themselves: while the queue
// is paused nothing is received from it.
func (r *Runtime) Consume(ctx context.Context, queue broker.Queue, prefetch int, handle func(*broker.Delivery)) error {
	return r.unlessPaused(ctx, queue, func(fetch context.Context) error {
		return r.Broker.Consume(fetch, queue, prefetch, handle)
	})
}

// unlessPaused calls consume until ctx ends, with a context that ends when the queue is paused.
func (r *Runtime) unlessPaused(ctx context.Context, queue broker.Queue, consume func(fetch context.Context) error) error {
	for ctx.Err() == nil {
		if len(r.Pauses.Of(queue.Name)) > 0 {
			if err := r.Broker.Declare(ctx, queue); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("declaring %s: %w", queue.Name, err) // it keeps what is published meanwhile
			}
			r.Logger.Warn("a queue is paused: nothing is received from it", "queue", queue.Name)
			if r.Pauses.await(ctx, queue.Name, false) {
				r.Logger.Info("a queue is resumed", "queue", queue.Name)
			}
			continue
		}
		if err := r.untilPaused(ctx, queue, consume); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("consuming %s: %w", queue.Name, err)
		}
	}
	return nil
}

// untilPaused also returns when ctx ends. What is in flight is settled first.
func (r *Runtime) untilPaused(ctx context.Context, queue broker.Queue, consume func(fetch context.Context) error) error {
	fetch, pause := context.WithCancel(ctx)
	defer pause()
	if r.Pauses != nil {
		go func() {
			if r.Pauses.await(fetch, queue.Name, true) {
				pause()
			}
		}()
	}
	err := consume(fetch)
	if err == nil && fetch.Err() == nil {
		return broker.ErrClosed
	}
	return err
}
