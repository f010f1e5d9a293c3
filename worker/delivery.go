package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/internal/protect"
	"switchboard/message"
)

// Delivery is an envelope that was received from its queue and stays there until
// it is settled. Of a raw subscription it is a body, and has no envelope.
type Delivery struct {
	*message.Envelope
	runtime      *Runtime
	ctx          context.Context
	subscription Subscription
	inFlight     *inFlight
	delivery     *broker.Delivery
	began        time.Time
}

// Redelivered says that this may be a second copy: it, or what it follows from,
// was received before, and the work may have been done.
func (d *Delivery) Redelivered() bool {
	return d.delivery.Redelivered || d.Attempts() > 0 || d.Envelope != nil && message.Again(d.Routing())
}

// FailedBefore says that handling the delivery has failed: it is tried again, or was a
// dead letter.
func (d *Delivery) FailedBefore() bool { return d.delivery.Headers[HeaderKey] != "" }

// Lost says that the broker waits for the delivery no longer, and delivers it again: what
// follows from it is left to that copy.
func (d *Delivery) Lost() bool { return d.delivery.Lost != nil && d.delivery.Lost() }

// ErrLost is what a handler returns when its delivery is Lost.
var ErrLost = broker.ErrLost

// Body is what was received.
func (d *Delivery) Body() []byte { return d.delivery.Body }

// Attempts is how often handling the delivery has failed so far.
func (d *Delivery) Attempts() int { return attempts(d.delivery) }

func attempts(d *broker.Delivery) int {
	n, _ := strconv.Atoi(d.Headers[HeaderAttempts])
	return n
}

// Since is when it was received first, before all moves and failures.
func (d *Delivery) Since() time.Time {
	for _, header := range [...]string{HeaderSince, HeaderFirstFailed} {
		if t, err := time.Parse(time.RFC3339, d.delivery.Headers[header]); err == nil {
			return t
		}
	}
	return d.began
}

// Move puts the body, as it was received, at the end of another queue after a delay, and
// blocks until the broker has it; settle it with nil then.
func (d *Delivery) Move(ctx context.Context, queue string, delay time.Duration) error {
	headers := broker.Headers{HeaderSince: d.Since().UTC().Format(time.RFC3339)}
	if d.Redelivered() {
		headers[broker.HeaderAgain] = "true"
	}
	err := d.runtime.Broker.Publish(ctx, broker.Publication{Queue: queue, Body: d.delivery.Body, Headers: headers, Delay: delay})
	if err != nil {
		return fmt.Errorf("moving what was on %s to %s: %w", d.delivery.Queue, queue, err)
	}
	return nil
}

// Headers of bodies that failed, in retries and in the dead letters.
const (
	HeaderReason      = "switchboard-reason"       // one of the Reason constants
	HeaderError       = "switchboard-error"        // the error's text
	HeaderAttempts    = "switchboard-attempts"     // how often it was tried
	HeaderFirstFailed = "switchboard-first-failed" // RFC 3339
	HeaderLastFailed  = "switchboard-last-failed"  // RFC 3339
	HeaderWorker      = "switchboard-worker"       // who failed
	HeaderKey         = "switchboard-key"          // the routing key it came with
)

// HeaderSince is when what was moved to another queue was received first, in RFC 3339.
const HeaderSince = "switchboard-since"

// Why a body is a dead letter.
const (
	ReasonInvalid   = "invalid"   // it is no message of its flow
	ReasonPermanent = "permanent" // the plugin said that trying again cannot help
	ReasonExhausted = "exhausted" // it failed as often as max_attempts allows
	ReasonPanic     = "panic"     // the plugin panicked
)

// maxErrorHeader bounds the error text that travels with a body.
const maxErrorHeader = 1000

type invalidError struct{ error }

func (e invalidError) Unwrap() error { return e.error }

// PanicError is a plugin's panic, as the error of the message it happened with.
type PanicError = protect.PanicError

// Protect calls a plugin and turns its panic into a *PanicError.
func Protect(call func() error) error { return protect.Call(call) }

// Settle ends the delivery as the outcome says: nil and message.Discard
// acknowledge it, message.Reject too once the sender has been told;
// message.Permanent and a panic dead-letter it; a lost broker requeues it; any
// other error has it tried again later, unless it is Lost. It may be called from
// any goroutine, once, and does not block.
func (d *Delivery) Settle(err error) {
	if err != nil && d.Lost() {
		d.finish("requeued")
		d.delivery.Requeue()
		return
	}
	switch reason, dead := d.deadReason(err); {
	case dead:
		go d.deadLetter(reason, err)
	case err == nil:
		d.finish("ok")
		d.delivery.Ack()
	case isDiscard(err):
		d.discard(err)
	case notOurFault(err):
		d.finish("requeued")
		d.delivery.Requeue()
	default:
		go d.retryLater(err)
	}
}

// Leaves says whether the delivery leaves its queue for good when it is settled with err.
func (d *Delivery) Leaves(err error) bool {
	_, dead := d.deadReason(err)
	return err == nil || dead || isDiscard(err)
}

// deadReason says whether err makes the delivery a dead letter, and why.
func (d *Delivery) deadReason(err error) (reason string, dead bool) {
	var invalid invalidError
	var panicked *PanicError
	switch {
	case err == nil || isDiscard(err):
		return "", false
	case errors.As(err, &invalid):
		return ReasonInvalid, true
	case errors.As(err, &panicked):
		return ReasonPanic, true
	case message.IsPermanent(err):
		return ReasonPermanent, true
	case notOurFault(err):
		return "", false
	case d.Attempts()+1 >= d.runtime.Settings.MaxAttempts:
		return ReasonExhausted, true
	}
	return "", false
}

func isDiscard(err error) bool {
	_, discard := message.DiscardReason(err)
	return discard
}

// notOurFault: the broker went, or the worker stops; nothing is wrong with the
// message.
func notOurFault(err error) bool {
	return errors.Is(err, broker.ErrLost) || errors.Is(err, broker.ErrClosed) || errors.Is(err, context.Canceled)
}

func (d *Delivery) deadLetter(reason string, cause error) {
	if panicked, is := errors.AsType[*PanicError](cause); is {
		d.runtime.Logger.Error("plugin panicked", "queue", d.delivery.Queue, "panic", panicked.Value, "stack", string(panicked.Stack))
	}
	err := d.tell(d.subscription.OnFailure, cause)
	if err == nil {
		err = d.runtime.DeadLetter(d.ctx, d.delivery, reason, cause)
	}
	if err != nil {
		d.runtime.Logger.Warn("dead-lettering a message failed; it returns to its queue",
			"queue", d.delivery.Queue, "error", err)
		d.requeueSlowly()
		return
	}
	d.log(slog.LevelWarn, "dead-lettered in "+d.delivery.Queue+broker.DeadSuffix, cause)
	d.finish("dead")
	d.delivery.Ack()
}

// discard acknowledges a delivery that is dropped on purpose, once those know who
// are to be told.
func (d *Delivery) discard(err error) {
	tell, what := d.subscription.OnDiscard, "dropped"
	if message.IsRejection(err) {
		what = "rejected"
		if d.subscription.OnFailure != nil && (d.subscription.Flow == message.Outbound || tell == nil) {
			tell = d.subscription.OnFailure
		}
	}
	if tell == nil || d.Envelope == nil {
		d.discarded(what, err)
		return
	}
	go func() {
		reason, _ := message.DiscardReason(err)
		if failed := d.tell(tell, errors.New(reason)); failed != nil {
			d.runtime.Logger.Warn("telling why a message was "+what+" failed; it returns to its queue",
				"queue", d.delivery.Queue, "error", failed)
			d.requeueSlowly()
			return
		}
		d.discarded(what, err)
	}()
}

func (d *Delivery) discarded(what string, err error) {
	level := slog.LevelInfo
	if d.Envelope != nil && d.Event != nil {
		level = slog.LevelDebug // a broadcast to a million has a million that nobody waits for
	}
	d.log(level, what, err)
	d.finish("discarded")
	d.delivery.Ack()
}

func (d *Delivery) tell(whom func(context.Context, *Delivery, error) error, cause error) error {
	if whom == nil || d.Envelope == nil {
		return nil
	}
	return Protect(func() error { return whom(d.ctx, d, cause) })
}

// DeadLetter copies a delivery to the dead letters of its queue, with the reason and
// the error; Ack it when DeadLetter has returned nil.
func (r *Runtime) DeadLetter(ctx context.Context, d *broker.Delivery, reason string, cause error) error {
	queue := d.Queue + broker.DeadSuffix
	if err := r.Broker.Declare(ctx, broker.Queue{Name: queue, Type: r.Settings.QueueType}); err != nil {
		return fmt.Errorf("declaring %s: %w", queue, err)
	}
	return r.Broker.Publish(ctx, broker.Publication{Queue: queue, Body: d.Body, Headers: DeadLetterHeaders(r.Name, d, reason, cause)})
}

// DeadLetterHeaders are the headers of a dead letter.
func DeadLetterHeaders(worker string, d *broker.Delivery, reason string, cause error) broker.Headers {
	headers := failureHeaders(worker, d, cause)
	headers[HeaderReason] = reason
	return headers
}

func (d *Delivery) retryLater(cause error) {
	delay := d.runtime.Settings.RetryDelay(d.Attempts(), cause)
	err := d.runtime.Broker.Publish(d.ctx, broker.Publication{
		Queue: d.delivery.Queue, Body: d.delivery.Body, Headers: failureHeaders(d.runtime.Name, d.delivery, cause), Delay: delay,
	})
	if err != nil {
		d.requeueSlowly()
		return
	}
	d.runtime.Monitor.putOff(d.delivery.Queue, delay, d.Attempts()+2)
	if _, ok := errors.AsType[stateError](cause); ok {
		d.runtime.Monitor.WarnOfState(d.runtime.Logger, "messages fail without the state store, and are tried again", "queue", d.delivery.Queue, "error", cause)
	} else {
		d.log(slog.LevelWarn, "failed; trying again in "+delay.String(), cause)
	}
	d.finish("retried")
	d.delivery.Ack()
}

// longestHold is how long a message is tried in its place. RabbitMQ ends a channel that holds a
// body for half an hour (consumer_timeout).
const longestHold = 10 * time.Minute

// tryInPlace tries until the delivery need not stay in its place. Once one returns to its queue
// because nothing more is received, those of its key behind it return, too: none passes it.
func (d *Delivery) tryInPlace(ctx context.Context, key string, try func() error) error {
	err := context.Canceled
	switch {
	case d.Lost():
		return ErrLost
	case !d.inFlight.hasReturned(key):
		err = try()
	}
	for d.holds(err) {
		if err = d.awaitNextTry(ctx, err); err == nil {
			err = try()
		}
	}
	if notOurFault(err) {
		d.inFlight.returns(key)
	}
	return err
}

// holds says whether the delivery is to be tried again in its place.
func (d *Delivery) holds(err error) bool {
	return err != nil && !d.Lost() && !d.Leaves(err) && !notOurFault(err) && time.Since(d.Since()) < longestHold
}

// lostInterval is how often one that waits for its next try looks whether it is Lost.
const lostInterval = time.Second

// awaitNextTry waits for the next try of a delivery that stays where it is. When nothing more
// is received, or it is Lost, it returns to its queue.
func (d *Delivery) awaitNextTry(ctx context.Context, cause error) error {
	delay := min(d.runtime.Settings.RetryDelay(d.Attempts(), cause), longestHold)
	d.runtime.Monitor.putOff(d.delivery.Queue, delay, d.Attempts()+2)
	d.log(slog.LevelWarn, "failed; trying again in its place in "+delay.String(), cause)
	d.runtime.Metrics.handled(d.runtime.Name, d.subscription.Connector, d.subscription.Flow, "retried", time.Since(d.began))
	d.delivery.Headers = failureHeaders(d.runtime.Name, d.delivery, cause)
	next := time.NewTimer(delay)
	defer next.Stop()
	look := time.NewTicker(lostInterval)
	defer look.Stop()
	for {
		select {
		case <-next.C:
			if d.Lost() {
				return ErrLost
			}
			d.began = time.Now() // the wait says nothing of how quick the worker is
			return d.decode()
		case <-look.C:
			if d.Lost() {
				return ErrLost
			}
		case <-d.inFlight.stopping:
			return context.Canceled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// RequeueDelay keeps a body that can neither be handled nor published anywhere
// from coming back at full speed.
const RequeueDelay = time.Second

func (d *Delivery) requeueSlowly() {
	backoff.Sleep(d.ctx, RequeueDelay)
	d.finish("requeued")
	d.delivery.Requeue()
}

// RetryDelay is 1, 3, 9, … s, or what the error asks for, with up to a fifth
// added at random, so that what failed together is not tried again together.
func (s *Settings) RetryDelay(attempts int, cause error) time.Duration {
	delay, asked := message.RetryDelay(cause)
	if !asked {
		delay = s.backOff(attempts)
	}
	return delay + rand.N(delay/5+1)
}

func (s *Settings) backOff(attempts int) time.Duration {
	delay, most := s.RetryInitialDelay.Std(), s.RetryMaxDelay.Std()
	for range attempts {
		if delay *= time.Duration(s.RetryDelayFactor); delay > most {
			return most
		}
	}
	return delay
}

func failureHeaders(worker string, d *broker.Delivery, cause error) broker.Headers {
	now := time.Now().UTC().Format(time.RFC3339)
	first := d.Headers[HeaderFirstFailed]
	if first == "" {
		first = now
	}
	key := d.Headers[HeaderKey]
	if key == "" {
		key = d.Key
	}
	text := cause.Error()
	if len(text) > maxErrorHeader {
		text = text[:maxErrorHeader]
	}
	headers := broker.Headers{
		HeaderError: text, HeaderAttempts: strconv.Itoa(attempts(d) + 1), HeaderFirstFailed: first,
		HeaderLastFailed: now, HeaderWorker: worker, HeaderKey: key,
	}
	if since := d.Headers[HeaderSince]; since != "" {
		headers[HeaderSince] = since
	}
	return headers
}

func (d *Delivery) finish(outcome string) {
	took := time.Since(d.began)
	d.inFlight.settled(d, took)
	d.runtime.Metrics.handled(d.runtime.Name, d.subscription.Connector, d.subscription.Flow, outcome, took)
}

func (d *Delivery) log(level slog.Level, what string, cause error) {
	id := ""
	if d.Envelope != nil {
		id = d.ID()
	}
	d.runtime.Logger.Log(d.ctx, level, what, "queue", d.delivery.Queue, "message_id", id, "error", cause)
}
