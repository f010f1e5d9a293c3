// Package failures is the worker that takes what transports could not send: Vumi's
// failure worker. It tries temporary failures again, and keeps the others where an
// operator finds them.
package failures

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/internal/collectors"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// Failures is the worker's configuration.
type Failures struct {
	worker.Settings `yaml:",inline"`
	// Transports are the transports whose failures are taken.
	Transports options.Names `yaml:"transport_names"`
	// TransportName is Vumi's way to name one transport.
	TransportName string `yaml:"transport_name"`
	// FailuresKey is the routing key of a transport's failures.
	FailuresKey string `yaml:"failures_routing_key"`
	// RetryKey is where a message is tried again.
	RetryKey string `yaml:"retry_routing_key"`
}

// placeholder stands for the transport's name in keys, as in Vumi's files.
const placeholder = "%(transport_name)s"

// New is a Failures with its defaults.
func New() *Failures {
	return &Failures{
		Settings:    worker.DefaultSettings(),
		FailuresKey: placeholder + ".failures", RetryKey: placeholder + "." + string(message.Outbound),
	}
}

// IgnoredKeys are those of Vumi's worker.
func (Failures) IgnoredKeys() map[string]string {
	return map[string]string{"retry_delivery_period": "RabbitMQ holds a message until its time has come"}
}

// Common are the settings every worker has.
func (f *Failures) Common() *worker.Settings { return &f.Settings }

// Validate checks the options.
func (f *Failures) Validate() error {
	errs := []error{f.Settings.Validate()}
	names := f.names()
	if len(names) == 0 {
		errs = append(errs, options.Fieldf("transport_names", "is missing; name the transports whose failures are taken"))
	}
	for _, name := range names {
		if err := worker.CheckConnector(name); err != nil {
			errs = append(errs, options.Field(err, "transport_names", name))
		}
	}
	for key, value := range map[string]string{"failures_routing_key": f.FailuresKey, "retry_routing_key": f.RetryKey} {
		if len(names) > 1 && !strings.Contains(value, placeholder) {
			errs = append(errs, options.Fieldf(key, "is the same for all transports; write %s where the name stands", placeholder))
		}
	}
	return errors.Join(errs...)
}

func (f *Failures) names() []string {
	if f.TransportName == "" {
		return f.Transports
	}
	return append(slices.Clip(f.Transports), f.TransportName)
}

// Worker makes the worker.
func (f *Failures) Worker(env worker.Dependencies) (worker.Worker, error) {
	r := &retrier{Failures: f, runtime: worker.Runtime{Dependencies: env, Settings: f.Settings}}
	if env.Registerer == nil {
		env.Registerer = prometheus.NewRegistry()
	}
	set := collectors.Set{Registerer: env.Registerer, Prefix: "switchboard_failures_"}
	r.taken = set.Counter("taken_total",
		"Failures of transports taken, by outcome: retried, kept (dead-lettered), known (a dead letter already), invalid.", "transport", "outcome")
	return r, set.Err
}

// retrier is the running worker.
type retrier struct {
	*Failures
	runtime worker.Runtime
	taken   *prometheus.CounterVec
}

// Run takes failures until ctx ends.
func (r *retrier) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	names := r.names()
	errs := make(chan error, len(names))
	for _, name := range names {
		go func() {
			defer stop()
			errs <- r.consume(ctx, name)
		}()
	}
	var all []error
	for range names {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

const defaultPrefetch = 20

func (r *retrier) consume(ctx context.Context, transport string) error {
	key := strings.ReplaceAll(r.FailuresKey, placeholder, transport)
	prefetch := defaultPrefetch
	if r.Prefetch > 0 {
		prefetch = r.Prefetch
	}
	held := r.runtime.Monitor.Holding(key)
	work := context.WithoutCancel(ctx) // what is in flight is finished
	return r.runtime.Consume(ctx, r.queue(key), prefetch, func(d *broker.Delivery) {
		held.Add(1)
		defer held.Add(-1)
		r.settle(work, transport, d)
	})
}

func (r *retrier) queue(key string) broker.Queue {
	return broker.Queue{Name: key, Keys: []string{key}, Type: r.QueueType}
}

// settleTimeout bounds the publications of one failure; then it returns to its queue.
const settleTimeout = 30 * time.Second

func (r *retrier) settle(ctx context.Context, transport string, d *broker.Delivery) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	outcome, err := r.take(ctx, transport, d)
	if err != nil {
		r.runtime.Logger.Warn("taking a failure failed; it returns to its queue", "queue", d.Queue, "error", err)
		backoff.Sleep(ctx, worker.RequeueDelay)
		d.Requeue()
		return
	}
	r.taken.WithLabelValues(transport, outcome).Inc()
	d.Ack()
}

// take puts a failure's message where it belongs. What it returns may be done twice: each
// copy has the message's id.
func (r *retrier) take(ctx context.Context, transport string, d *broker.Delivery) (outcome string, err error) {
	failure, err := message.DecodeFailure(d.Body)
	if err == nil {
		err = r.CheckSize(d.Body)
	}
	if err != nil {
		return "invalid", r.runtime.DeadLetter(ctx, d, worker.ReasonInvalid, err)
	}
	m := failure.Message
	tries := retries(m)
	log := r.runtime.Logger.With("transport", transport, "message_id", m.ID, "code", failure.Code, "reason", failure.Reason, "attempts", tries.Retries+1)
	target := strings.ReplaceAll(r.RetryKey, placeholder, transport)
	switch {
	case failure.HelperMetadata.Raw(message.DeadLetteredKey) != "":
		return "known", nil
	case failure.Code == message.FailureTemporary && tries.Retries+1 < r.MaxAttempts:
		delay := r.RetryDelay(tries.Retries, nil)
		m.SetExtra(retryKey, retryMetadata{tries.Retries + 1, delay.Seconds()})
		log.Info("a message failed for now; trying again", "in", delay)
		return "retried", r.put(ctx, target, broker.Publication{Queue: target, Body: m.Encode(), Delay: delay})
	}
	log.Warn("a message failed; it is a dead letter of " + target)
	reason := worker.ReasonPermanent
	if failure.Code == message.FailureTemporary {
		reason = worker.ReasonExhausted
	}
	return "kept", errors.Join(r.tell(ctx, transport, failure), r.keep(ctx, target, reason, failure, tries.Retries+1))
}

func (r *retrier) put(ctx context.Context, queue string, p broker.Publication) error {
	if err := r.runtime.Broker.Declare(ctx, r.queue(queue)); err != nil {
		return fmt.Errorf("declaring %s: %w", queue, err)
	}
	return r.runtime.Broker.Publish(ctx, p)
}

// tell tells the application and the record that a message will not be sent: Vumi's
// transports publish a failure alone.
func (r *retrier) tell(ctx context.Context, transport string, failure *message.Failure) error {
	nack := message.NewNack(failure.Message, failure.Reason)
	nack.TransportName = transport
	nack.ID = fmt.Sprintf("failure-%s-%d", failure.Message.ID, failure.Timestamp.UnixMicro()) // a second copy is the same event
	return r.runtime.PublishBody(ctx, message.Key(transport, message.EventFlow), nack.Encode())
}

// keep makes a message a dead letter of the queue that it was sent by, where `failures
// retry` puts it back.
func (r *retrier) keep(ctx context.Context, queue, reason string, failure *message.Failure, attempts int) error {
	failure.Message.SetExtra(retryKey, retryMetadata{}) // tried again by hand, it begins anew
	return r.runtime.DeadLetter(ctx, &broker.Delivery{
		Queue: queue, Key: queue, Body: failure.Message.Encode(),
		Headers: broker.Headers{worker.HeaderAttempts: strconv.Itoa(attempts - 1)},
	}, reason, errors.New(failure.Reason))
}

// retryKey is the member in which a message carries how often it was tried, as Vumi's
// worker does.
const retryKey = "retry_metadata"

type retryMetadata struct {
	Retries int     `json:"retries"`
	Delay   float64 `json:"delay"` // seconds
}

// retries reads how often a message was tried again; 0 where that is foreign.
func retries(m *message.Message) (r retryMetadata) {
	extra := m.Extra()
	if json.Unmarshal([]byte(extra.Raw(retryKey)), &r) != nil || r.Retries < 0 {
		return retryMetadata{}
	}
	return r
}
