// Package explain says where a message would go through a fleet, and why,
// without a broker: for one message, for tests kept beside the configuration,
// and for what would change between two configurations.
package explain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/options"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// Fleet answers questions about the workers of a fleet. It has a memory of its
// own, so that asking changes nothing outside. It is not safe for use from
// several goroutines at once.
type Fleet struct {
	members []*member
	state   *statememory.State
	health  health
	now     func() time.Time
	brief   bool // only the way counts, not what is rewritten
}

// member is a worker as it is asked.
type member struct {
	*fleet.Definition
	simulator *dispatcher.Simulator // of a dispatcher
	stack     worker.Stack          // of the others
}

// health is how transports are taken to be.
type health map[string]message.Health

func (h health) Of(connector string) message.Health {
	if told, is := h[connector]; is {
		return told
	}
	return message.OK
}

// New makes a fleet of definitions, which it makes anew. Close it after use.
func New(ctx context.Context, classes fleet.Classes, defs []*fleet.Definition) (*Fleet, error) {
	f := &Fleet{state: statememory.New(), health: health{}, now: time.Now}
	env := worker.Dependencies{State: f.state, Logger: slog.New(slog.DiscardHandler)}
	var errs []error
	for _, def := range defs {
		m, err := f.newMember(ctx, classes, def, env)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", def.Path, err))
			continue
		}
		f.members = append(f.members, m)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fleet) newMember(ctx context.Context, classes fleet.Classes, def *fleet.Definition, env worker.Dependencies) (*member, error) {
	def, err := classes.Renew(def)
	if err != nil {
		return nil, err
	}
	m := &member{Definition: def}
	if def.Kind == fleet.KindDispatcher {
		m.simulator, err = def.Simulator(ctx, env, dispatcher.Conditions{Health: f.health, Now: func() time.Time { return f.now() }})
	} else {
		m.stack, err = def.Stack(ctx, env)
	}
	return m, err
}

// Close frees the fleet's memory.
func (f *Fleet) Close() error {
	var errs []error
	for _, m := range f.members {
		if m.simulator != nil {
			m.simulator.Close()
		}
		errs = append(errs, m.stack.Close())
	}
	return errors.Join(append(errs, f.state.Close())...)
}

// Down takes a transport to be down, for routers that look. It is an error where no
// file names the transport.
func (f *Fleet) Down(transports ...string) error {
	var known []string
	for _, m := range f.members {
		known = append(known, m.Names.Transports...)
		if m.Kind == fleet.KindTransport {
			known = append(known, m.Connector)
		}
	}
	for _, name := range transports {
		if !slices.Contains(known, name) {
			return options.Fieldf("down", "names no transport: %q%s", name, options.DidYouMean(name, known))
		}
		f.health[name] = message.Down
	}
	return nil
}

// At takes it to be that time, for routers that look; the zero time is now.
func (f *Fleet) At(t time.Time) {
	if !t.IsZero() {
		f.now = func() time.Time { return t }
	}
}

// takers are the workers that take what is on a flow of a connector. Of several
// dispatchers with the same file, replicas, there is one.
func (f *Fleet) takers(connector string, flow message.Flow) []*member {
	var found []*member
	for _, m := range f.members {
		if m.takes(connector, flow) && !replicated(found, m) {
			found = append(found, m)
		}
	}
	return found
}

func (m *member) takes(connector string, flow message.Flow) bool {
	names := m.Names.Transports
	switch m.Kind {
	case fleet.KindTransport:
		return flow == message.Outbound && m.Connector == connector
	case fleet.KindApplication:
		return flow != message.Outbound && m.Connector == connector
	}
	if flow == message.Outbound {
		names = m.Names.Exposed
	}
	return slices.Contains(names, connector)
}

func replicated(found []*member, m *member) bool {
	for _, other := range found {
		if other.Kind == m.Kind && other.Hash() == m.Hash() {
			return true
		}
	}
	return false
}

// at finds the worker of a kind that serves a connector; nil when none does.
func (f *Fleet) at(kind, connector string) *member {
	for _, m := range f.members {
		if m.Kind == kind && m.Connector == connector {
			return m
		}
	}
	return nil
}
