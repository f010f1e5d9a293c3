package persistence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/internal/batch"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// maxBatchBytes bounds the bodies of a batch; its last one may exceed it. A body is in memory
// about five times while its batch is written. The broker bounds the bodies that wait.
const maxBatchBytes = 1 << 20

// recordPause is at most from the begin of a batch that was not full to the begin of the next:
// what comes alone is recorded at once, and a stream in batches that cost the database little.
// A longer pause saves little more, and bounds the rate where few large bodies are in flight.
const recordPause = 20 * time.Millisecond

// received is a delivery and what it says.
type received struct {
	delivery *broker.Delivery
	envelope store.Envelope
}

func (r received) size() (items, bytes int) { return 1, len(r.delivery.Body) }

// consume records what the queue holds: what comes while a batch is written is the next one.
func (r *recorder) consume(ctx context.Context) error {
	// Writing lasts until what was read is written, StopTimeout at most.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(r.StopTimeout.Std(), stop) })
	limits := batch.Limits{Items: r.RecordBatch, Bytes: maxBatchBytes}
	batches := batch.New(limits, received.size, func(_ context.Context, b []received) {
		began := time.Now()
		pause := r.pauseAfter(b)
		r.record(work, b)
		backoff.Sleep(ctx, pause-time.Since(began))
	})
	defer batches.Wait()
	return r.core.Consume(ctx, r.queue(), r.readAhead(), func(d *broker.Delivery) {
		r.held().Add(1)
		if envelope, ok := r.decode(work, d); ok {
			_ = batches.Add(work, received{d, envelope}) // does not block
		}
	})
}

// readAhead is how many bodies are in flight at most.
func (r *recorder) readAhead() int { return cmp.Or(r.Prefetch, batchesAhead*r.RecordBatch) }

// pauseAfter is recordPause, or less where few bodies are in flight at most: a small prefetch
// must not bound the rate. After a full batch, by number or bytes, there is none.
func (r *recorder) pauseAfter(bodies []received) time.Duration {
	bytes := 0
	for _, b := range bodies {
		_, n := b.size()
		bytes += n
	}
	if len(bodies) >= r.RecordBatch || bytes >= maxBatchBytes {
		return 0
	}
	usual := batchesAhead * r.RecordBatch
	return recordPause * time.Duration(min(r.readAhead(), usual)) / time.Duration(usual)
}

// held is what /status says the worker holds.
func (r *recorder) held() *atomic.Int64 { return r.core.Monitor.Holding(RecordQueue(r.core.Name)) }

// settle acks a body, or puts it back into its queue.
func (r *recorder) settle(d *broker.Delivery, ack bool) {
	r.held().Add(-1)
	if ack {
		d.Ack()
	} else {
		d.Requeue()
	}
}

// decode decodes a body, or dead-letters it.
func (r *recorder) decode(ctx context.Context, d *broker.Delivery) (envelope store.Envelope, ok bool) {
	if err := r.core.Settings.CheckSize(d.Body); err != nil {
		r.settle(d, r.deadLetter(ctx, d, worker.ReasonInvalid, err))
		return envelope, false
	}
	envelope, err := read(d)
	if err != nil {
		go func() { r.settle(d, r.deadLetter(ctx, d, worker.ReasonInvalid, err)) }()
	}
	return envelope, err == nil
}

// read decodes a body as its routing key says.
func read(d *broker.Delivery) (store.Envelope, error) {
	key := d.Key
	if original := d.Headers[worker.HeaderKey]; original != "" {
		key = original // replayed from the dead letters
	}
	dot := strings.LastIndexByte(key, '.')
	if dot < 0 {
		return store.Envelope{}, fmt.Errorf("routing key %q is none of a connector's", key)
	}
	connector, flow := key[:dot], key[dot+1:]
	e, body := store.Envelope{Backend: connector, Body: d.Body}, escapeInvalid(d.Body)
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

// escapeInvalid returns JSON in which each byte that is not UTF-8 is written \xNN, as
// store.Printable does. All other workers dead-letter such a body; the record keeps it.
func escapeInvalid(body []byte) []byte {
	if utf8.Valid(body) {
		return body
	}
	escaped := make([]byte, 0, len(body)+len(body)/4)
	for len(body) > 0 {
		r, n := utf8.DecodeRune(body)
		if r == utf8.RuneError && n == 1 {
			escaped = fmt.Appendf(escaped, `\\x%02x`, body[0])
		} else {
			escaped = append(escaped, body[:n]...)
		}
		body = body[n:]
	}
	return escaped
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
	if receipt.Outcome == message.ReceiptRefused { // else the outcomes are the store's
		return readRefused(&receipt)
	}
	return store.Envelope{Body: e.Body, Application: receipt.Application, Receipt: &store.Receipt{
		MessageID: receipt.MessageID, Application: receipt.Application,
		Outcome: store.Outcome(receipt.Outcome), Reason: receipt.Reason, Timestamp: at,
	}}, nil
}

// noTransport stands for the transport of a refused message that names none.
const noTransport = "none"

// readRefused is the outbound message that a dispatcher refused.
func readRefused(receipt *message.Receipt) (store.Envelope, error) {
	e, err := readMessage(store.Envelope{Body: receipt.Message}, store.Outbound, receipt.Message)
	if err != nil {
		return e, err
	}
	e.Backend, e.Application = cmp.Or(e.Message.TransportName, noTransport), receipt.Application
	e.Refused = cmp.Or(receipt.Reason, "refused without a reason")
	return e, nil
}

// How long a batch waits for a database that is out of reach.
const (
	recordRetryMin = 100 * time.Millisecond
	recordRetryMax = 10 * time.Second
)

// record writes a batch, however long the database is away, and settles it.
func (r *recorder) record(ctx context.Context, bodies []received) {
	envelopes := make([]store.Envelope, len(bodies))
	for i, t := range bodies {
		envelopes[i] = t.envelope
	}
	began := time.Now()
	for delays := (backoff.Backoff{Min: recordRetryMin, Max: recordRetryMax}); ; {
		rejected, err := r.db.Record(ctx, envelopes)
		r.reportDatabase(ctx, err)
		if err == nil {
			r.settleBatch(ctx, bodies, rejected)
			r.core.Metrics.Recorded(r.core.Name, len(bodies)-len(rejected), len(rejected), time.Since(began))
			return
		}
		if ctx.Err() != nil {
			for _, t := range bodies {
				r.settle(t.delivery, false)
			}
			return
		}
		delay := delays.Next()
		r.core.Logger.Error("recording failed; the queue keeps what comes, and this batch is tried again",
			"queue", r.queue().Name, "bodies", len(bodies), "error", err, "in", delay)
		backoff.Sleep(ctx, delay)
	}
}

// settleBatch acks what is recorded and dead-letters what was rejected.
func (r *recorder) settleBatch(ctx context.Context, bodies []received, rejected []store.Rejected) {
	refused := make(map[int]error, len(rejected))
	for _, x := range rejected {
		refused[x.Index] = x.Err
	}
	for i, t := range bodies {
		if err := refused[i]; err != nil {
			r.settle(t.delivery, r.deadLetter(ctx, t.delivery, worker.ReasonPermanent, err))
			continue
		}
		r.settle(t.delivery, true)
	}
}

// deadLetter reports whether the body is safe among the dead letters; else it is to be
// requeued.
func (r *recorder) deadLetter(ctx context.Context, d *broker.Delivery, reason string, cause error) bool {
	if err := r.core.DeadLetter(ctx, d, reason, cause); err != nil {
		if !errors.Is(err, context.Canceled) {
			r.core.Logger.Warn("dead-lettering a body failed; it returns to its queue", "queue", d.Queue, "error", err)
		}
		return false
	}
	r.core.Logger.Warn("dead-lettered to "+d.Queue+broker.DeadSuffix, "queue", d.Queue, "key", d.Key, "reason", reason, "error", cause)
	return true
}
