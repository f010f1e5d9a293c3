package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// Delivery is an envelope in hand. It stays in its queue until Done.
type Delivery struct {
	*message.Envelope
	core     *Runtime
	ctx      context.Context
	source   Subscription
	delivery *broker.Delivery
	began    time.Time
}

// Redelivered says that the item, or what it follows from, was in somebody's
// hand before, and the work may have been done.
func (it *Delivery) Redelivered() bool {
	return it.delivery.Redelivered || it.Attempts() > 0 || it.Envelope != nil && message.Again(it.Routing())
}

// Attempts is how often handling the item has failed so far.
func (it *Delivery) Attempts() int { return attempts(it.delivery) }

func attempts(d *broker.Delivery) int {
	n, _ := strconv.Atoi(d.Headers[HeaderAttempts])
	return n
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

// Why a body lies in the dead letters.
const (
	ReasonInvalid   = "invalid"   // it is no message of its flow
	ReasonPermanent = "permanent" // the plugin said that trying again cannot help
	ReasonExhausted = "exhausted" // it failed as often as max_attempts allows
	ReasonPanic     = "panic"     // the plugin panicked over it
)

// maxErrorHeader bounds the error text that travels with a body.
const maxErrorHeader = 1000

type invalidError struct{ error }

func (e invalidError) Unwrap() error { return e.error }

// PanicError is a plugin's panic, as the error of the message it happened with.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Protect calls a plugin and turns its panic into a *PanicError.
func Protect(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return call()
}

// Settle lets go of the item as the outcome says: nil and message.Discard are
// done with, message.Refuse too once the sender has been told; message.Permanent
// and a panic are set aside, a lost broker puts it back, and any other error is
// tried again later. It may be called from any goroutine, once, and does not
// block.
func (it *Delivery) Settle(err error) {
	switch reason, dead := it.verdict(err); {
	case dead:
		go it.deadLetterAfterTelling(reason, err)
	case err == nil:
		it.finish("ok")
		it.delivery.Ack()
	case isDiscard(err):
		it.discard(err)
	case notOurFault(err):
		it.finish("requeued")
		it.delivery.Requeue()
	default:
		go it.retryLater(err)
	}
}

// verdict says whether err sends the item to the dead letters, and why.
func (it *Delivery) verdict(err error) (reason string, dead bool) {
	var invalid invalidError
	var panicked *PanicError
	switch {
	case err == nil || isDiscard(err):
		return "", false
	case errors.As(err, &invalid):
		return ReasonInvalid, true
	case errors.As(err, &panicked):
		it.core.Logger.Error("plugin panicked", "queue", it.delivery.Queue,
			"panic", panicked.Value, "stack", string(panicked.Stack))
		return ReasonPanic, true
	case message.IsPermanent(err):
		return ReasonPermanent, true
	case notOurFault(err):
		return "", false
	case it.Attempts()+1 >= it.core.Settings.MaxAttempts:
		return ReasonExhausted, true
	}
	return "", false
}

func isDiscard(err error) bool {
	_, discard := message.DiscardReason(err)
	return discard
}

// notOurFault: the broker went, or the worker stops; the message is as good as
// it was.
func notOurFault(err error) bool {
	return errors.Is(err, broker.ErrLost) || errors.Is(err, broker.ErrClosed) || errors.Is(err, context.Canceled)
}

func (it *Delivery) deadLetterAfterTelling(reason string, cause error) {
	err := it.tellFailure(cause)
	if err == nil {
		err = it.deadLetter(reason, cause)
	}
	if err != nil {
		it.core.Logger.Warn("setting a message aside failed; it returns to its queue",
			"queue", it.delivery.Queue, "error", err)
		it.requeueSlowly()
		return
	}
	it.log(slog.LevelWarn, "set aside in "+it.delivery.Queue+broker.DeadSuffix, cause)
	it.finish("dead")
	it.delivery.Ack()
}

// discard lets go of an item on purpose, once those know who are to be told.
func (it *Delivery) discard(err error) {
	tell, what := it.source.OnDiscard, "let go on purpose"
	if message.IsRejection(err) {
		what = "refused"
		if it.source.OnFailure != nil {
			tell = it.source.OnFailure
		}
	}
	if tell == nil || it.Envelope == nil {
		it.discarded(what, err)
		return
	}
	go func() {
		reason, _ := message.DiscardReason(err)
		if failed := Protect(func() error { return tell(it.ctx, it, errors.New(reason)) }); failed != nil {
			it.core.Logger.Warn("telling why a message was "+what+" failed; it returns to its queue",
				"queue", it.delivery.Queue, "error", failed)
			it.requeueSlowly()
			return
		}
		it.discarded(what, err)
	}()
}

func (it *Delivery) discarded(what string, err error) {
	level := slog.LevelInfo
	if it.Envelope != nil && it.Envelope.Event != nil {
		level = slog.LevelDebug // a broadcast to a million has a million that nobody waits for
	}
	it.log(level, what, err)
	it.finish("discarded")
	it.delivery.Ack()
}

func (it *Delivery) tellFailure(cause error) error {
	if it.source.OnFailure == nil || it.Envelope == nil {
		return nil
	}
	return Protect(func() error { return it.source.OnFailure(it.ctx, it, cause) })
}

func (it *Delivery) deadLetter(reason string, cause error) error {
	return it.core.DeadLetter(it.ctx, it.delivery, reason, cause)
}

// DeadLetter copies a delivery to the dead letters of its queue, with the reason and
// the error that brought it there; Ack it when DeadLetter has returned nil.
func (c *Runtime) DeadLetter(ctx context.Context, d *broker.Delivery, reason string, cause error) error {
	queue := d.Queue + broker.DeadSuffix
	if err := c.Broker.Declare(ctx, broker.Queue{Name: queue, Type: c.Settings.QueueType}); err != nil {
		return fmt.Errorf("declaring %s: %w", queue, err)
	}
	headers := c.failureHeaders(d, cause)
	headers[HeaderReason] = reason
	return c.Broker.Publish(ctx, broker.Publication{Queue: queue, Body: d.Body, Headers: headers})
}

func (it *Delivery) retryLater(cause error) {
	delay := it.core.Settings.retryDelay(it.Attempts(), cause)
	err := it.core.Broker.Publish(it.ctx, broker.Publication{
		Queue: it.delivery.Queue, Body: it.delivery.Body, Headers: it.core.failureHeaders(it.delivery, cause), Delay: delay,
	})
	if err != nil {
		it.requeueSlowly()
		return
	}
	it.log(slog.LevelWarn, "failed; trying again in "+delay.String(), cause)
	it.finish("retried")
	it.delivery.Ack()
}

// requeueDelay keeps a body that can neither be handled nor put anywhere else
// from going round and round at full speed.
const requeueDelay = time.Second

func (it *Delivery) requeueSlowly() {
	select {
	case <-it.ctx.Done():
	case <-time.After(requeueDelay):
	}
	it.finish("requeued")
	it.delivery.Requeue()
}

// retryDelay is 1, 3, 9, … s, or what the error asks for, with up to a fifth
// added at random, so that what failed together is not tried again together.
func (s *Settings) retryDelay(attempts int, cause error) time.Duration {
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

func (c *Runtime) failureHeaders(d *broker.Delivery, cause error) broker.Headers {
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
	return broker.Headers{
		HeaderError: text, HeaderAttempts: strconv.Itoa(attempts(d) + 1), HeaderFirstFailed: first,
		HeaderLastFailed: now, HeaderWorker: c.Name, HeaderKey: key,
	}
}

func (it *Delivery) finish(outcome string) {
	m := it.core.Metrics
	m.inFlight(it.core.Name, it.source.Connector, it.source.Flow, -1)
	m.handled(it.core.Name, it.source.Connector, it.source.Flow, outcome, time.Since(it.began))
}

func (it *Delivery) log(level slog.Level, what string, cause error) {
	id := ""
	if it.Envelope != nil {
		id = it.ID()
	}
	it.core.Logger.Log(it.ctx, level, what, "queue", it.delivery.Queue, "message_id", id, "error", cause)
}
