package dispatcher

import (
	"context"
	"fmt"

	"switchboard/message"
)

// Health tells how transports are, as they said last in their status events.
type Health interface {
	// Of is the health of the transport on a connector: the worst of its
	// components', and OK while it has said nothing. It does not block.
	Of(connector string) message.Health
}

// HealthUser is the optional ability of a router to choose by health;
// UseHealth is called once, before the first Route.
type HealthUser interface {
	UseHealth(h Health)
}

// offerHealth gives the plan's router the health of its transports, if it wants
// it. What transports say from then on is known; ctx bounds the wait for a
// broker that is out of reach.
func (d *Dispatcher) offerHealth(ctx context.Context, p *plan) error {
	user, wants := p.router.(HealthUser)
	if !wants {
		return nil
	}
	if err := d.health.listen(ctx, p.names.Transports); err != nil {
		return fmt.Errorf("making the queue of the transports' status events: %w", err)
	}
	user.UseHealth(d.health)
	return nil
}

// hearHealth hears transports' status events; stop ends that and waits for it.
func (d *Dispatcher) hearHealth(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		d.health.run(ctx)
	}()
	return func() {
		cancel()
		<-stopped
	}
}
