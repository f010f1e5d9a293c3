// Package guess is a game to try sessions with: a person guesses a number. The
// game lives in the shared state and not in the process, so it outlasts the
// person's session, a restart, and a move to another replica.
package guess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"switchboard/applications"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
)

// Application plays the game with everybody who writes.
type Application struct {
	// Lowest is the smallest number the game thinks of; default 1.
	Lowest int `yaml:"lowest"`
	// Highest is the largest number the game thinks of; default 100, at most
	// 1000000.
	Highest int `yaml:"highest"`
	// Remember is how long a person's game and best result are kept after the
	// last guess; default 168h. Example: 30m.
	Remember options.Duration `yaml:"remember"`

	state store.State
	think func(lowest, highest int) int
}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
)

const (
	defaultHighest  = 100
	maxHighest      = 1_000_000
	defaultRemember = 7 * 24 * time.Hour
)

// New makes a game of 1 to 100.
func New() *Application {
	return &Application{
		Lowest: 1, Highest: defaultHighest, Remember: options.Duration(defaultRemember),
		think: func(lowest, highest int) int { return lowest + rand.IntN(highest-lowest+1) },
	}
}

// Validate checks the options.
func (a *Application) Validate() error {
	var errs []error
	if a.Lowest < 0 {
		errs = append(errs, options.Fieldf("lowest", "must not be negative"))
	}
	if a.Highest <= a.Lowest || a.Highest > maxHighest {
		errs = append(errs, options.Fieldf("highest", "must be above lowest (%d) and at most %d", a.Lowest, maxHighest))
	}
	if a.Remember <= 0 {
		errs = append(errs, options.Fieldf("remember", "must be above 0"))
	}
	return errors.Join(errs...)
}

// Provision takes the state the games live in.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	a.state = env.State
	return nil
}

// Deduplicates says that a game knows its last message.
func (*Application) Deduplicates() bool { return true }

// Receive makes one move. The same message a second time gets the same answer
// and is not a second guess.
func (a *Application) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	if m.SessionEvent == message.SessionClose {
		return nil, nil // the game goes on when the person comes back
	}
	key := m.TransportName + "/" + m.From
	g, err := a.load(ctx, key)
	if err != nil {
		return nil, err
	}
	if g.Last.ID != m.ID {
		g.Last = a.move(g, m)
		if err := a.save(ctx, key, g); err != nil {
			return nil, err
		}
	}
	return g.Last.reply(m), nil
}

func (a *Application) load(ctx context.Context, key string) (*game, error) {
	found, err := a.state.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("fetching a game: %w", err)
	}
	g := new(game)
	if err := json.Unmarshal([]byte(found[key]), g); err != nil {
		return new(game), nil // there is none, or none that this version can read
	}
	return g, nil
}

func (a *Application) save(ctx context.Context, key string, g *game) error {
	text, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("writing a game: %w", err)
	}
	if err := a.state.Set(ctx, store.Entry{Key: key, Value: string(text), TTL: a.Remember.Std()}); err != nil {
		return fmt.Errorf("keeping a game: %w", err)
	}
	return nil
}
