// Package autoreply is an application that answers everybody the same, by the
// time of the week: office hours.
package autoreply

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"switchboard/applications"
	"switchboard/applications/conversation"
	"switchboard/internal/schedule"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
)

// Reply is what is done at some times.
type Reply struct {
	// During is when, as in during() of a router's rules; default always.
	// Example: `mon-fri 08:00-17:00, sat 09:00-12:00`.
	During string `yaml:"during"`

	conversation.Action `yaml:",inline"`
}

// Application replies by the time. Texts may name {from}, {to}, {content} and
// {transport}.
type Application struct {
	// Replies are tried in their order; the first whose time it is answers. Each
	// has during, and reply, send or both.
	Replies []Reply `yaml:"replies"`
	// Timezone is the zone of during. Default UTC. Example: `Africa/Johannesburg`.
	Timezone string `yaml:"timezone"`
	// Once is how long the same reply is not given again to one person; 0 answers
	// every message. Default 0. Example: 4h.
	Once options.Duration `yaml:"once"`

	zone   *time.Location
	weeks  []schedule.Week // nil is always
	now    func() time.Time
	keeper conversation.Keeper[last]
}

// last is when a person got which reply.
type last struct {
	Reply int       `json:"reply"`
	At    time.Time `json:"at"`
}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
	_ applications.Linter       = (*Application)(nil)
)

// New is an Application with its defaults.
func New() *Application { return &Application{Timezone: "UTC"} }

// Validate checks the replies.
func (a *Application) Validate() error {
	var errs []error
	if len(a.Replies) == 0 {
		errs = append(errs, options.Fieldf("replies", "is missing; write a list of replies"))
	}
	if a.Once < 0 {
		errs = append(errs, options.Fieldf("once", "must not be negative"))
	}
	var err error
	if a.zone, err = schedule.Zone(a.Timezone); err != nil {
		errs = append(errs, options.Field(err, "timezone"))
	}
	a.weeks = make([]schedule.Week, len(a.Replies))
	names := conversation.Names(conversation.Facts(&message.Message{}))
	for i := range a.Replies {
		at := strconv.Itoa(i)
		if r := &a.Replies[i]; r.During != "" {
			if a.weeks[i], err = schedule.Parse(r.During); err != nil {
				errs = append(errs, options.Field(err, "replies", at, "during"))
			}
		}
		errs = append(errs, a.Replies[i].Validate(names, "replies", at))
	}
	return errors.Join(errs...)
}

// Lint warns of replies that nobody can get, and of times without one.
func (a *Application) Lint() error {
	for i, r := range a.Replies {
		if r.During == "" && i < len(a.Replies)-1 {
			return options.Field(fmt.Errorf("is never reached: replies.%d answers at all times", i), "replies", strconv.Itoa(i+1))
		}
	}
	return nil
}

// Provision takes the clock and the state.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	a.now = env.Now
	a.keeper = conversation.Keeper[last]{State: env.State, Remember: a.Once.Std(), Now: env.Now}
	return nil
}

// Deduplicates says that a second copy gets the same answer.
func (*Application) Deduplicates() bool { return true }

// Receive answers one message.
func (a *Application) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	// When the message came decides, not when it is handled: it may have waited.
	at := a.current(m.Timestamp)
	if at < 0 {
		return nil, nil
	}
	outputs := a.Replies[at].Outputs("", conversation.Facts(m))
	if a.Once == 0 {
		return conversation.Messages(outputs, m), nil
	}
	return a.keeper.Handle(ctx, m, func(known *last) ([]conversation.Output, []store.Entry, error) {
		now := a.now()
		if !known.At.IsZero() && known.Reply == at && now.Sub(known.At) < a.Once.Std() {
			return nil, nil, nil
		}
		*known = last{at, now}
		return outputs, nil, nil
	})
}

// current is the number of the reply whose time it is; -1 for none.
func (a *Application) current(t time.Time) int {
	for i, week := range a.weeks {
		if week == nil || week.Holds(t.In(a.zone)) {
			return i
		}
	}
	return -1
}
