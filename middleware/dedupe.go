package middleware

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/internal/msisdn"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
)

// Dedupe drops inbound messages that came before: an SMSC that was not answered in
// time, or an aggregator that tries again, sends a message twice.
// Two messages are one when they have the same from_addr, to_addr and content
// within the window, or the same provider's identifier. What people say within
// sessions (USSD, chat) is compared by identifier only: a menu is answered with
// 1 again and again.
//
// A message that is delivered again by the broker is no duplicate. The
// middleware works on dispatchers and applications, where messages are already
// safe in a queue; on a transport a message could be taken for a duplicate of
// one that was never published, so it refuses to start there.
type Dedupe struct {
	// Window is how long messages of the same content count as one; 0 switches
	// comparing by content off.
	Window options.Duration `yaml:"window"`
	// Country is whose national numbers these are: with ZA, 0821234567 and
	// +27821234567 are the same address. Without it only the spellings of
	// international numbers are known.
	Country string `yaml:"country"`
	// MetadataKey is the member of transport_metadata that holds the provider's
	// own identifier; empty switches comparing by it off.
	MetadataKey string `yaml:"metadata_key"`
	// MetadataWindow is how long an identifier is remembered.
	MetadataWindow options.Duration `yaml:"metadata_window"`

	state   store.State
	numbers *msisdn.Numbers
}

var _ worker.Middleware = (*Dedupe)(nil)

// The defaults of a Dedupe.
const (
	defaultDedupeWindow   = time.Minute
	defaultMetadataWindow = 24 * time.Hour
)

// NewDedupe makes the middleware with its defaults.
func NewDedupe() *Dedupe {
	return &Dedupe{Window: options.Duration(defaultDedupeWindow), MetadataWindow: options.Duration(defaultMetadataWindow)}
}

// Validate checks the options.
func (d *Dedupe) Validate() error {
	switch {
	case d.Window < 0:
		return options.Fieldf("window", "must not be negative")
	case d.MetadataWindow <= 0:
		return options.Fieldf("metadata_window", "must be above 0")
	case d.Window == 0 && d.MetadataKey == "":
		return options.Fieldf("window", "is 0 and metadata_key is empty; nothing is left to compare")
	}
	d.numbers = msisdn.NewNumbers(strings.ToUpper(d.Country))
	return checkCountry(&d.Country)
}

// Provision takes the middleware's state.
func (d *Dedupe) Provision(_ context.Context, env worker.Env) error {
	if env.Kind == worker.KindTransport {
		return message.Permanent(errors.New("dedupe does not work on a transport; put it on the dispatcher behind it"))
	}
	d.state = env.State
	return nil
}

// Wrap drops duplicates among inbound messages.
func (d *Dedupe) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if flow != message.Inbound {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if err := d.check(ctx, e.Message); err != nil {
			return err
		}
		return next(ctx, e)
	}
}

func (d *Dedupe) check(ctx context.Context, m *message.Message) error {
	if id := m.TransportMetadata.Raw(d.MetadataKey); d.MetadataKey != "" && id != "" && id != "null" {
		return d.first(ctx, m, "the provider's identifier", d.MetadataWindow.Std(), "id", m.TransportName, id)
	}
	if d.Window > 0 && m.SessionEvent == message.SessionNone && m.Content != "" {
		return d.first(ctx, m, "addresses and content", d.Window.Std(), "text",
			m.TransportName, d.numbers.Normal(m.From), d.numbers.Normal(m.To), m.Content)
	}
	return nil
}

// first lets the first message with these marks pass, however often it comes.
func (d *Dedupe) first(ctx context.Context, m *message.Message, what string, window time.Duration, marks ...string) error {
	id, _, err := d.state.Add(ctx, store.Entry{Key: digest(marks), Value: m.ID, TTL: window})
	if err != nil {
		return fmt.Errorf("asking whether message %s came before: %w", m.ID, err)
	}
	if id != m.ID {
		return message.Discard(fmt.Sprintf("it repeats message %s, by %s", id, what))
	}
	return nil
}

// digest keeps content out of the state store.
func digest(marks []string) string {
	sum := sha256.New()
	for _, mark := range marks {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(mark), mark)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
