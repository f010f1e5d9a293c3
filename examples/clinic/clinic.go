// Package clinic is an application with sessions: people dial, choose a day, and are told of it by SMS
// too; staff has those of a day reminded.
package clinic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"switchboard/applications"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
	"time"
)

// Application takes bookings. Its fields are the keys of its YAML file.
type Application struct {
	// Days are the days people choose of, numbered from 1.
	Days []string `yaml:"days"`
	// Staff are the numbers that may write "remind DAY".
	Staff []string `yaml:"staff"`
	// SMS is the transport of reminders.
	SMS string `yaml:"sms"`
	// Wait is how long a question waits for its answer.
	Wait options.Duration `yaml:"wait"`

	state  store.State
	record worker.Record
	now    func() time.Time
}

var (
	_ applications.Application   = (*Application)(nil)
	_ applications.EventReceiver = (*Application)(nil)
)

const (
	keep       = 30 * 24 * time.Hour // of bookings
	perDay     = 1000                // bookings that are reminded
	endpoint   = "sms"               // what is no reply leaves by it
	reminding  = "remind "
	notReached = "We could not reach you by SMS. "
)

// New is an Application with its defaults.
func New() *Application { return &Application{Wait: options.Duration(3 * time.Minute), SMS: "sms"} }

// Validate checks the file.
func (a *Application) Validate() error {
	if len(a.Days) == 0 {
		return options.Fieldf("days", "is missing; write the days people choose of")
	}
	return nil
}

// Provision takes what outlives the process and what replicas share.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	a.state, a.record, a.now = env.State, env.Record, env.Now
	return nil
}

// Receive answers one message.
func (a *Application) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	text := strings.ToLower(strings.TrimSpace(m.Content))
	switch {
	case m.Group != "": // a group reads the answer
		return []*message.Message{m.Reply("Please dial, so that nobody reads it.", message.ToGroup)}, nil
	case slices.Contains(a.Staff, m.From) && strings.HasPrefix(text, reminding):
		return a.remind(ctx, m, strings.TrimPrefix(text, reminding))
	}
	known, err := a.state.Get(ctx, "asked/"+m.From, "unreached/"+m.From)
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err) // the message is tried again
	}
	choice, _ := strconv.Atoi(text)
	if known["asked/"+m.From] == "" || choice < 1 || choice > len(a.Days) {
		return a.ask(ctx, m, known["unreached/"+m.From])
	}
	return a.book(ctx, m, a.Days[choice-1])
}

func (a *Application) ask(ctx context.Context, m *message.Message, unreached string) ([]*message.Message, error) {
	question := unreached + "Which day?"
	for i, day := range a.Days {
		question += fmt.Sprintf("\n%d %s", i+1, day)
	}
	err := a.state.Set(ctx, store.Entry{Key: "asked/" + m.From, Value: "day", TTL: a.Wait.Std()})
	return []*message.Message{m.Reply(question)}, err
}

// book answers, which ends the session, and sends an SMS whose events ReceiveEvent gets.
func (a *Application) book(ctx context.Context, m *message.Message, day string) ([]*message.Message, error) {
	answer := m.Reply("You are booked for "+day+".", message.EndSession)
	sms := m.Reply("See you on " + day + ".") // with an id that is the same for the same message
	sms.InReplyTo, sms.TransportName, sms.TransportType = "", a.SMS, "sms"
	sms.SetEndpoint(endpoint)
	err := a.state.Set(ctx,
		store.Entry{Key: bookings(day) + m.From, Value: m.From, TTL: keep},
		store.Entry{Key: "told/" + sms.ID, Value: m.From, TTL: keep})
	if err == nil {
		err = a.state.Delete(ctx, "asked/"+m.From, "unreached/"+m.From)
	}
	return []*message.Message{answer, sms}, err
}

func bookings(day string) string { return "booked/" + strings.ToLower(day) + "/" }

// ReceiveEvent remembers who was not reached.
func (a *Application) ReceiveEvent(ctx context.Context, e *message.Event) error {
	if e.Type != message.Nack && e.DeliveryStatus != message.Failed {
		return nil
	}
	told, err := a.state.Get(ctx, "told/"+e.MessageID)
	person := told["told/"+e.MessageID]
	if err != nil || person == "" {
		return err
	}
	return a.state.Set(ctx, store.Entry{Key: "unreached/" + person, Value: notReached, TTL: keep})
}

// remind stores a broadcast that is sent in an hour. Persistence workers send it.
func (a *Application) remind(ctx context.Context, m *message.Message, day string) ([]*message.Message, error) {
	booked, err := a.state.Range(ctx, bookings(day), bookings(day)+"~", perDay)
	if err != nil {
		return nil, fmt.Errorf("reading who is booked: %w", err)
	}
	reminder := store.Broadcast{
		Name: "reminder", Text: "Do not forget: " + day + ".", From: m.To, Endpoint: endpoint,
		Start: a.now().Add(time.Hour), Key: "remind/" + m.ID,
	}
	made, err := a.record.Create(ctx, reminder, func(yield func(store.Recipient, error) bool) {
		for _, b := range booked {
			if !yield(store.Recipient{Address: store.Address{Backend: a.SMS, Identity: b.Value}}, nil) {
				return
			}
		}
	})
	if errors.Is(err, store.ErrNoRecipients) {
		return []*message.Message{m.Reply("Nobody is booked for " + day + ".")}, nil
	}
	return []*message.Message{m.Reply(fmt.Sprintf("%d will be reminded.", made.Total))}, err
}
