package middleware

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"switchboard/internal/msisdn"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
	"switchboard/worker/optouts"
)

// OptOut keeps the list of people who asked not to be written to. STOP puts its
// sender on the list, START or UNSTOP takes them off again; either message goes on
// to the application, so that it can answer and knows. An outbound message to
// somebody on the list is dropped, and its application gets a nack that says why.
//
// The list is in the state store, for ever, shared by every worker that names
// the same list. Broadcasts, which pass no dispatcher, know no lists: where there
// is a record, STOP on any list ends them for the sender there, and START lets
// them come again. Put the middleware on a dispatcher or on transports, where all
// applications pass, or on one application.
type OptOut struct {
	// StopKeywords put the sender on the list, when one of them is the whole
	// message: case, spaces and punctuation around it do not matter.
	StopKeywords options.Names `yaml:"stop_keywords"`
	// StartKeywords take the sender off the list.
	StartKeywords options.Names `yaml:"start_keywords"`
	// List is the list's name.
	List string `yaml:"list"`
	// PerAddress keeps a list for each of our own addresses: STOP to one short code
	// says nothing about the others.
	PerAddress bool `yaml:"per_address"`
	// Country is whose national numbers these are: with ZA, 0821234567 and
	// +27821234567 are one person. Without it only the spellings of international
	// numbers are known.
	Country string `yaml:"country"`
	// Confirm lets the reply to the STOP itself pass, so that the application
	// can say that it understood.
	Confirm bool `yaml:"confirm"`

	state   store.State
	people  store.People // nil where there is no record, and so no broadcasts
	numbers *msisdn.Numbers
	words   map[string]bool // keyword → it stops
}

var _ worker.Middleware = (*OptOut)(nil)

// NewOptOut makes the middleware with its defaults.
func NewOptOut() *OptOut {
	return &OptOut{
		StopKeywords: options.Names{"STOP", "STOPALL", "UNSUBSCRIBE", "REVOKE", "OPTOUT", "OPT OUT"}, StartKeywords: options.Names{"START", "UNSTOP"},
		List: "default", Confirm: true,
	}
}

// Validate checks the keywords.
func (o *OptOut) Validate() error {
	if err := optouts.CheckName(o.List); err != nil {
		return options.Field(err, "list")
	}
	if err := checkCountry(&o.Country); err != nil {
		return err
	}
	o.numbers = msisdn.NewNumbers(o.Country)
	o.words = map[string]bool{}
	return errors.Join(o.learn("stop_keywords", o.StopKeywords, true), o.learn("start_keywords", o.StartKeywords, false))
}

func (o *OptOut) learn(key string, keywords []string, stops bool) error {
	for _, keyword := range keywords {
		word := plain(keyword)
		if word == "" {
			return options.Fieldf(key, "holds %q, which nobody can type", keyword)
		}
		if known, twice := o.words[word]; twice && known != stops {
			return options.Field(fmt.Errorf("%s is in stop_keywords too", keyword), key, keyword)
		}
		o.words[word] = stops
	}
	return nil
}

// plain is a text as keywords are compared. Telegram sends /start when somebody who had
// blocked the bot comes back.
func plain(text string) string {
	return strings.ToUpper(strings.Trim(text, " \t\r\n.,;:!?\"'/"))
}

// Provision takes the worker's state, and the record's people.
func (o *OptOut) Provision(_ context.Context, env worker.Env) error {
	o.state, o.people = env.Shared(worker.OptOutScope(o.List)), env.People
	return nil
}

// Wrap reads keywords in inbound messages, and rejects outbound ones to people
// on the list.
func (o *OptOut) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	before := o.listen
	switch flow {
	case message.EventFlow:
		return next
	case message.Outbound:
		before = o.guard
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if err := before(ctx, e); err != nil {
			return err
		}
		return next(ctx, e)
	}
}

func (o *OptOut) key(e *message.Envelope) string {
	if o.PerAddress {
		return o.numbers.Normal(ours(e)) + "/" + o.numbers.Normal(e.Person())
	}
	return o.numbers.Normal(e.Person())
}

// listen remembers with the person the message that said STOP: its reply may
// pass.
func (o *OptOut) listen(ctx context.Context, e *message.Envelope) (err error) {
	stops, keyword := o.words[plain(e.Message.Content)]
	switch {
	case !keyword || e.Person() == "":
		return nil
	case stops:
		err = o.state.Set(ctx, store.Entry{Key: o.key(e), Value: e.Message.ID})
	default:
		err = o.state.Delete(ctx, o.key(e))
	}
	if err != nil {
		return fmt.Errorf("changing the opt-out list %s: %w", o.List, err)
	}
	return o.record(ctx, e, stops)
}

// record says in the record whether a person wants broadcasts, however the list
// of one spells the number.
func (o *OptOut) record(ctx context.Context, e *message.Envelope, stops bool) error {
	if o.people == nil || e.Message.TransportName == "" {
		return nil
	}
	for _, identity := range o.numbers.Spellings(e.Person()) {
		err := o.people.OptOut(ctx, store.Address{Backend: e.Message.TransportName, Identity: identity}, stops)
		if err != nil {
			return fmt.Errorf("recording who wants broadcasts: %w", err)
		}
	}
	return nil
}

func (o *OptOut) guard(ctx context.Context, e *message.Envelope) error {
	if e.Person() == "" {
		return nil
	}
	key := o.key(e)
	found, err := o.state.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("asking the opt-out list %s: %w", o.List, err)
	}
	stopped, listed := found[key]
	if !listed || o.Confirm && e.Message.InReplyTo != "" && e.Message.InReplyTo == stopped {
		return nil
	}
	return message.Reject(fmt.Sprintf("blocked: %s has opted out (list %s)", e.Person(), o.List))
}
