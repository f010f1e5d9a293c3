package persistence

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// tapped is a body in hand and what it says.
type tapped struct {
	delivery *broker.Delivery
	envelope store.Envelope
}

// tap records what the queue holds. Reading and writing go on at once; what is
// read ahead is bounded by the prefetch.
func (r *recorder) tap(ctx context.Context) error {
	inHand := batchesInHand * r.RecordBatch
	if r.Prefetch > 0 {
		inHand = r.Prefetch
	}
	arrivals := make(chan tapped, inHand)
	// Writing lasts until what was read is written, StopTimeout at most.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(r.StopTimeout.Std(), stop) })
	written := make(chan struct{})
	go func() {
		defer close(written)
		r.write(ctx, work, arrivals)
	}()
	err := r.core.Broker.Consume(ctx, r.queue(), inHand, func(d *broker.Delivery) { r.take(work, d, arrivals) })
	close(arrivals)
	<-written
	if err != nil {
		return fmt.Errorf("consuming %s: %w", r.queue().Name, err)
	}
	return nil
}

func (r *recorder) take(ctx context.Context, d *broker.Delivery, arrivals chan<- tapped) {
	envelope, err := read(d)
	if err != nil {
		go r.setAside(ctx, d, worker.ReasonInvalid, err)
		return
	}
	arrivals <- tapped{d, envelope}
}

// read says what a body is, by the key it was published with.
func read(d *broker.Delivery) (store.Envelope, error) {
	key := d.Key
	if original := d.Headers[worker.HeaderKey]; original != "" {
		key = original // replayed from the dead letters, straight to the queue
	}
	dot := strings.LastIndexByte(key, '.')
	if dot < 0 {
		return store.Envelope{}, fmt.Errorf("routing key %q is none of a connector's", key)
	}
	connector, flow := key[:dot], key[dot+1:]
	e, body := store.Envelope{Backend: connector, Body: d.Body}, readable(d.Body)
	switch message.Flow(flow) {
	case message.Inbound:
		return readMessage(e, store.Inbound, body)
	case message.Outbound:
		return readMessage(e, store.Outbound, body)
	case message.EventFlow:
		event, err := message.DecodeEvent(body)
		if err != nil {
			return e, err
		}
		e.Event, e.Application = event, message.Application(&event.RoutingMetadata)
		return e, nil
	}
	return readReceipt(e, body)
}

// readable is JSON with every byte that is not UTF-8 written as the record
// writes it, \xNN: whoever handles messages refuses such a body, but the record
// has what there is of it.
func readable(body []byte) []byte {
	if utf8.Valid(body) {
		return body
	}
	mended := make([]byte, 0, len(body)+len(body)/4)
	for len(body) > 0 {
		r, n := utf8.DecodeRune(body)
		if r == utf8.RuneError && n == 1 {
			mended = fmt.Appendf(mended, `\\x%02x`, body[0])
		} else {
			mended = append(mended, body[:n]...)
		}
		body = body[n:]
	}
	return mended
}

func readMessage(e store.Envelope, direction store.Direction, body []byte) (store.Envelope, error) {
	m, err := message.Decode(body)
	if err != nil {
		return e, err
	}
	e.Message, e.Direction = m, direction
	if direction == store.Outbound {
		e.Application = message.Application(&m.RoutingMetadata)
	} else {
		e.ExternalID = m.TransportMetadata.Text("external_id")
	}
	return e, nil
}

func readReceipt(e store.Envelope, body []byte) (store.Envelope, error) {
	receipt, err := message.DecodeReceipt(body)
	if err != nil {
		return store.Envelope{}, err
	}
	at, err := message.ParseTime(receipt.Timestamp)
	if err != nil {
		return store.Envelope{}, fmt.Errorf("timestamp %w", err)
	}
	return store.Envelope{Body: e.Body, Application: receipt.Application, Receipt: &store.Receipt{
		MessageID: receipt.MessageID, Application: receipt.Application,
		Outcome: store.Outcome(receipt.Outcome), Reason: receipt.Reason, Timestamp: at,
	}}, nil
}

// write records batches: each closes when it is full, RecordWait after its
// first body, or when the worker stops.
func (r *recorder) write(stopping, ctx context.Context, arrivals <-chan tapped) {
	for first := range arrivals {
		batch := append(make([]tapped, 0, r.RecordBatch), first)
		wait := time.NewTimer(r.RecordWait.Std())
		open := true
		for open && len(batch) < r.RecordBatch {
			select {
			case next, more := <-arrivals:
				if !more {
					open = false
					break
				}
				batch = append(batch, next)
			case <-wait.C:
				open = false
			case <-stopping.Done():
				open = false
			}
		}
		wait.Stop()
		r.record(ctx, batch)
	}
}

// How long a batch waits for a database that is out of reach.
const (
	recordRetryMin = 100 * time.Millisecond
	recordRetryMax = 10 * time.Second
)

// record writes a batch, however long the database is away, and lets go of it.
func (r *recorder) record(ctx context.Context, batch []tapped) {
	envelopes := make([]store.Envelope, len(batch))
	for i, t := range batch {
		envelopes[i] = t.envelope
	}
	began := time.Now()
	for delay := recordRetryMin; ; delay = min(2*delay, recordRetryMax) {
		rejected, err := r.db.Record(ctx, envelopes)
		if err == nil {
			r.letGo(ctx, batch, rejected)
			r.core.Metrics.Recorded(r.core.Name, len(batch)-len(rejected), len(rejected), time.Since(began))
			return
		}
		if ctx.Err() != nil {
			for _, t := range batch {
				t.delivery.Requeue()
			}
			return
		}
		r.core.Logger.Error("recording failed; the queue keeps what comes, and this batch is tried again",
			"queue", r.queue().Name, "bodies", len(batch), "error", err, "in", delay)
		select {
		case <-ctx.Done():
		case <-time.After(delay + rand.N(delay/5)):
		}
	}
}

// letGo acknowledges what is recorded and sets aside what never can be.
func (r *recorder) letGo(ctx context.Context, batch []tapped, rejected []store.Rejected) {
	refused := make(map[int]error, len(rejected))
	for _, x := range rejected {
		refused[x.Index] = x.Err
	}
	for i, t := range batch {
		if err := refused[i]; err != nil {
			r.setAside(ctx, t.delivery, worker.ReasonPermanent, err)
			continue
		}
		t.delivery.Ack()
	}
}

func (r *recorder) setAside(ctx context.Context, d *broker.Delivery, reason string, cause error) {
	if err := r.core.DeadLetter(ctx, d, reason, cause); err != nil {
		if !errors.Is(err, context.Canceled) {
			r.core.Logger.Warn("setting a body aside failed; it returns to its queue", "queue", d.Queue, "error", err)
		}
		d.Requeue()
		return
	}
	r.core.Logger.Warn("set aside in "+d.Queue+broker.DeadSuffix, "queue", d.Queue, "key", d.Key, "reason", reason, "error", cause)
	d.Ack()
}
