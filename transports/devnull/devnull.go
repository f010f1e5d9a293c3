// Package devnull is a transport without an outside: it takes every message, and
// makes up what became of it. It tries fleets, and ends benchmarks.
package devnull

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"switchboard/internal/current"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
)

// Transport is the sink. Rates are of chance: 0 is never, 1 is always.
type Transport struct {
	// TransportType is the transport_type of the replies; default sms.
	TransportType string `yaml:"transport_type"`
	// AckRate is the share of messages that are accepted; the others get a nack.
	AckRate float64 `yaml:"ack_rate"`
	// FailureRate is the share of those accepted whose delivery report says failed;
	// the others say delivered.
	FailureRate float64 `yaml:"failure_rate"`
	// ReplyRate is the share of those accepted that the person answers.
	ReplyRate float64 `yaml:"reply_rate"`
	// ReplyCopy is what people answer; default what they were told.
	ReplyCopy string `yaml:"reply_copy"`
	// DeliveryReports says whether there are delivery reports; without them and
	// without replies a message costs its ack alone.
	DeliveryReports bool `yaml:"delivery_reports"`

	out current.Value[transports.Publisher]
}

var (
	_ transports.Transport    = (*Transport)(nil)
	_ transports.Acknowledger = (*Transport)(nil)
)

// New makes a transport with its defaults, which accepts and delivers all.
func New() *Transport {
	return &Transport{TransportType: "sms", AckRate: 1, DeliveryReports: true}
}

// Validate checks the options.
func (t *Transport) Validate() error {
	var errs []error
	for _, rate := range []struct {
		key   string
		value float64
	}{{"ack_rate", t.AckRate}, {"failure_rate", t.FailureRate}, {"reply_rate", t.ReplyRate}} {
		if !(rate.value >= 0 && rate.value <= 1) {
			errs = append(errs, options.Fieldf(rate.key, "must be between 0 and 1"))
		}
	}
	return errors.Join(errs...)
}

// Run lets messages through until ctx ends.
func (t *Transport) Run(ctx context.Context, out transports.Publisher) error {
	if err := out.Status(ctx, message.NewStatus("devnull", message.OK, "ready", "messages are taken, and go nowhere")); err != nil && ctx.Err() == nil {
		return fmt.Errorf("publishing the status: %w", err)
	}
	t.out.Set(out)
	defer t.out.Clear()
	<-ctx.Done()
	return nil
}

// AcksItself says that what follows an ack is published by Send, after it.
func (t *Transport) AcksItself() bool { return t.DeliveryReports || t.ReplyRate > 0 }

// errRefused is, word for word, the nack_reason of Vumi's transport.
type errRefused struct{}

func (errRefused) Error() string { return "Not accepted by network" }

// Send takes a message, and publishes what became of it. All of it is with the
// broker before Send returns.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	out, err := t.out.Get(ctx)
	if err != nil {
		return "", err
	}
	id := transports.MessageID("devnull", m.ID)
	if rand.Float64() >= t.AckRate {
		return "", message.Permanent(errRefused{})
	}
	if !t.AcksItself() {
		return id, nil
	}
	if err := out.Event(ctx, message.NewAck(m, id)); err != nil {
		return "", err
	}
	if t.DeliveryReports {
		status := message.Delivered
		if rand.Float64() < t.FailureRate {
			status = message.Failed
		}
		if err := out.Event(ctx, message.NewDeliveryReport(m, status)); err != nil {
			return "", err
		}
	}
	if rand.Float64() < t.ReplyRate {
		return id, out.Inbound(ctx, t.answer(m))
	}
	return id, nil
}

// answer is what the person says to m.
func (t *Transport) answer(m *message.Message) *message.Message {
	answer := message.New()
	answer.From, answer.To, answer.Content = m.To, m.From, m.Content
	answer.Provider, answer.TransportType = "devnull", t.TransportType
	if t.ReplyCopy != "" {
		answer.Content = t.ReplyCopy
	}
	return answer
}
