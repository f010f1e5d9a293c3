package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"switchboard/broker"
)

// grudging takes a body only after it was offered some times.
type grudging struct {
	broker.Publisher
	errs    []error
	offered int
}

func (g *grudging) Publish(context.Context, broker.Publication) error {
	g.offered++
	if g.offered > len(g.errs) {
		return nil
	}
	return fmt.Errorf("publishing: %w", g.errs[g.offered-1])
}

// A queue at its limit is waited for: what the run does itself is no broken promise.
func TestPublishWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &people{accepted: map[int64]bool{}}
		if err := p.poisonAll(t.Context(), &grudging{errs: []error{broker.ErrRefused, broker.ErrLost}}, "q"); err != nil || p.poison != len(poisons()) {
			t.Errorf("%d of %d were published: %v", p.poison, len(poisons()), err)
		}
		if err := p.inject(t.Context(), &grudging{errs: []error{broker.ErrRefused}}, "q", wrongTimes[0]); err != nil || len(p.refused) > 0 {
			t.Errorf("a message was not published: %v, %v", err, p.refused)
		}
		g := &grudging{errs: []error{broker.ErrInvalid}}
		if err := publish(t.Context(), g, broker.Publication{}); !errors.Is(err, broker.ErrInvalid) || g.offered != 1 {
			t.Errorf("tried %d times: %v", g.offered, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := publish(ctx, &grudging{errs: []error{broker.ErrRefused}}, broker.Publication{}); !errors.Is(err, broker.ErrRefused) {
			t.Errorf("it went on after its end: %v", err)
		}
	})
}
