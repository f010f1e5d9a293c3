package persistence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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

// The bounds of what the recorder has in memory, whatever waits in its queue. A body is in it
// about five times while its batch is written.
const (
	maxInFlightBytes = 4 << 20 // of bodies that are read and not settled; one body may exceed it
	maxBatchBytes    = 1 << 20 // of a batch; its last body may exceed it
	firstPrefetch    = 32
)

// received is a delivery and what it says.
type received struct {
	delivery *broker.Delivery
	envelope store.Envelope
}

func (r received) size() (items, bytes int) { return 1, len(r.delivery.Body) }

// consume records what the queue holds. It reads, decodes and writes at once.
func (r *recorder) consume(ctx context.Context) error {
	// Writing lasts until what was read is written, StopTimeout at most.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(r.StopTimeout.Std(), stop) })
	raw, decoded := make(chan *broker.Delivery, r.maxPrefetch()), make(chan received, r.RecordBatch)
	var stages sync.WaitGroup
	stages.Go(func() {
		defer close(decoded)
		for d := range raw {
			r.decode(work, d, decoded)
		}
	})
	stages.Go(func() {
		limits := batch.Limits{Items: r.RecordBatch, Bytes: maxBatchBytes, Delay: r.RecordWait.Std()}
		batch.Run(ctx, decoded, limits, received.size, func(b []received) { r.record(work, b) })
	})
	err := r.read(ctx, raw)
	close(raw)
	stages.Wait()
	if err != nil {
		return fmt.Errorf("consuming %s: %w", r.queue().Name, err)
	}
	return nil
}

func (r *recorder) maxPrefetch() int {
	if r.Prefetch > 0 {
		return r.Prefetch
	}
	return batchesAhead * r.RecordBatch
}

// read consumes with as large a prefetch as the bodies allow. AMQP bounds a prefetch in
// bodies alone, so read begins with a small one, quadruples it while little is in flight, and
// halves what fitted when too much is: then RabbitMQ takes back what it has sent beyond.
func (r *recorder) read(ctx context.Context, raw chan<- *broker.Delivery) error {
	prefetch := min(firstPrefetch, r.maxPrefetch())
	for {
		window, end := context.WithCancel(ctx)
		var next, count, peak int
		err := r.core.Broker.Consume(window, r.queue(), prefetch, func(d *broker.Delivery) {
			bodies, bytes := r.inFlight.add(d)
			r.held().Add(1)
			raw <- d // has room for the prefetch
			count, peak = count+1, max(peak, bytes)
			switch {
			case bytes > maxInFlightBytes && prefetch > 1:
				next = max(1, bodies/2)
				end()
			case count >= 8*prefetch && prefetch < r.maxPrefetch() && peak < maxInFlightBytes/8:
				next = min(4*prefetch, r.maxPrefetch())
				end()
			}
		})
		end()
		if err != nil || ctx.Err() != nil || next == 0 {
			return err
		}
		prefetch = next
	}
}

// inFlight counts the bodies that are read and not settled.
type inFlight struct {
	mu            sync.Mutex
	bodies, bytes int
}

func (f *inFlight) add(d *broker.Delivery) (bodies, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies++
	f.bytes += len(d.Body)
	return f.bodies, f.bytes
}

func (f *inFlight) remove(d *broker.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies--
	f.bytes -= len(d.Body)
}

// held is what /status says the worker holds.
func (r *recorder) held() *atomic.Int64 { return r.core.Monitor.Holding(RecordQueue(r.core.Name)) }

// settle acks a body, or puts it back into its queue.
func (r *recorder) settle(d *broker.Delivery, ack bool) {
	r.inFlight.remove(d)
	r.held().Add(-1)
	if ack {
		d.Ack()
	} else {
		d.Requeue()
	}
}

func (r *recorder) decode(ctx context.Context, d *broker.Delivery, decoded chan<- received) {
	if err := r.core.Settings.CheckSize(d.Body); err != nil {
		r.settle(d, r.deadLetter(ctx, d, worker.ReasonInvalid, err))
		return
	}
	envelope, err := read(d)
	if err != nil {
		go func() { r.settle(d, r.deadLetter(ctx, d, worker.ReasonInvalid, err)) }()
		return
	}
	decoded <- received{d, envelope}
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
