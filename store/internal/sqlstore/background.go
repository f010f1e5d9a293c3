package sqlstore

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Background runs chores every so often until it is stopped.
type Background struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Chore is work that repeats; a failure is logged and tried again next time.
type Chore struct {
	Name  string
	Every time.Duration
	Do    func(context.Context) error
}

// Start runs each chore in a goroutine of its own, the first time after its
// interval.
func Start(log *slog.Logger, chores ...Chore) *Background {
	ctx, cancel := context.WithCancel(context.Background())
	b := &Background{cancel: cancel}
	for _, c := range chores {
		b.done.Go(func() { c.run(ctx, log) })
	}
	return b
}

func (c *Chore) run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.Do(ctx); err != nil && ctx.Err() == nil {
			log.Warn("store chore failed, will be tried again", "chore", c.Name, "error", err)
		}
	}
}

// Stop ends the chores and waits for them.
func (b *Background) Stop() {
	b.cancel()
	b.done.Wait()
}
