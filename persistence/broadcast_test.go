package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/store"
)

// handset plays the transport: it answers each message as answer says.
type handset struct {
	b      *bench
	answer func(m *message.Message) *message.Event // nil is silence
	mu     sync.Mutex
	got    map[string]int // how often each address got the text
	times  []time.Time
}

func (b *bench) listen(answer func(m *message.Message) *message.Event) *handset {
	h := &handset{b: b, answer: answer, got: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	queue := broker.Queue{Name: b.sms + ".outbound", Keys: []string{b.sms + ".outbound"}}
	go func() { done <- b.broker.Consume(ctx, queue, 50, h.take) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("consuming as a transport: %v", err)
		}
	})
	return h
}

func (h *handset) take(d *broker.Delivery) {
	m, err := message.Decode(d.Body)
	if err != nil {
		h.b.Errorf("handed over: %v", err)
		d.Ack()
		return
	}
	h.mu.Lock()
	h.got[m.To]++
	h.times = append(h.times, time.Now())
	h.mu.Unlock()
	event := h.answer(m)
	d.Ack()
	if event != nil {
		event.TransportName = h.b.sms
		h.b.broker.PublishAsync(context.Background(), broker.Publication{Key: h.b.sms + ".event", Body: event.Encode()}, func(err error) {
			if err != nil {
				h.b.Errorf("answering: %v", err)
			}
		})
	}
}

func (h *handset) count() (addresses, messages int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.got {
		messages += n
	}
	return len(h.got), messages
}

func ack(m *message.Message) *message.Event { return message.NewAck(m, "p-"+m.ID) }

func silence(*message.Message) *message.Event { return nil }

func (b *bench) people(n int) iter.Seq2[store.Recipient, error] {
	return func(yield func(store.Recipient, error) bool) {
		for i := range n {
			to := store.Recipient{Address: store.Address{Backend: b.sms, Identity: fmt.Sprintf("+27%07d", i)}}
			if !yield(to, nil) {
				return
			}
		}
	}
}

func (b *bench) create(x store.Broadcast, people int) store.Created {
	b.Helper()
	made, err := b.db.Create(b.Context(), x, b.people(people))
	b.must(err)
	return made
}

func (b *bench) broadcaster() (stop func()) {
	p := b.worker()
	p.Broadcasts = true
	return b.start(p, b.db)
}

func (b *bench) info(made store.Created) *store.BroadcastInfo {
	b.Helper()
	info, err := b.db.Broadcast(b.Context(), made.ID)
	b.must(err)
	return info
}

// broadcastPatience is for SQLite under the race detector, which takes most of a
// minute for a thousand people on a busy machine.
const broadcastPatience = 3 * time.Minute

func (b *bench) awaitDone(made store.Created) *store.BroadcastInfo {
	b.Helper()
	testutil.EventuallyWithin(b, broadcastPatience, "the broadcast is done", func() bool { return b.info(made).State == store.BroadcastDone })
	return b.info(made)
}

// A broadcast to a transport that has never run waits in its queue.
func broadcast(b *bench) {
	made := b.create(store.Broadcast{Text: "hello", BatchSize: 20}, 250)
	b.broadcaster()
	b.await("all are handed over", func() bool { return b.waiting(b.sms+".outbound") == 250 })
	h := b.listen(ack)
	if info := b.awaitDone(made); info.Sent != 250 || info.Message != store.StatusSent {
		b.Errorf("at the end: %+v", info)
	}
	if addresses, messages := h.count(); addresses != 250 || messages != 250 {
		b.Errorf("%d addresses got %d messages", addresses, messages)
	}
}

// Those who failed are tried again, and they alone.
func retries(b *bench) {
	var mu sync.Mutex
	tries := map[string]int{}
	h := b.listen(func(m *message.Message) *message.Event {
		mu.Lock()
		defer mu.Unlock()
		tries[m.To]++
		switch {
		case m.To == "+270000007":
			return message.NewNack(m, "no such subscriber")
		case m.To < "+270000005" && tries[m.To] == 1:
			return message.NewNack(m, "busy")
		}
		return message.NewAck(m, "p")
	})
	made := b.create(store.Broadcast{Text: "hello", Retries: 2, RetryAfter: 20 * time.Millisecond}, 30)
	b.broadcaster()
	info := b.awaitDone(made)
	if info.Sent != 29 || info.Error != 1 || info.Message != store.StatusError {
		b.Errorf("at the end: %+v", info)
	}
	for i := range 30 {
		address, want := fmt.Sprintf("+27%07d", i), 1
		if i < 5 {
			want = 2
		}
		if i == 7 {
			want = 3
		}
		if h.got[address] != want {
			b.Errorf("%s was tried %d times, want %d", address, h.got[address], want)
		}
	}
}

func pauseAndCancel(b *bench) {
	h := b.listen(silence)
	made := b.create(store.Broadcast{Text: "hello", BatchSize: 5, Rate: 50}, 500)
	b.broadcaster()
	b.await("it has begun", func() bool { _, n := h.count(); return n >= 5 })
	b.must(b.db.Pause(b.Context(), made.ID))
	// What is in flight still comes: eight tasks of five, at most.
	_, paused := h.count()
	b.await("its batches are let go", func() bool { return b.settledSince(h, 300*time.Millisecond) })
	_, after := h.count()
	if after-paused > 50 {
		b.Errorf("%d messages came after the pause", after-paused)
	}
	b.must(b.db.Resume(b.Context(), made.ID))
	b.await("it goes on", func() bool { _, n := h.count(); return n > after })
	b.must(b.db.Cancel(b.Context(), made.ID))
	b.await("its batches are let go", func() bool { return b.settledSince(h, 300*time.Millisecond) })
	_, came := h.count()
	b.await("what came is recorded", func() bool { return b.info(made).Open == int64(came) })
	info := b.info(made)
	if info.State != store.BroadcastCancelled || info.Error != int64(500-came) {
		b.Errorf("%d came, and at the end: %+v", came, info)
	}
	if addresses, messages := h.count(); addresses != messages {
		b.Errorf("%d addresses got %d messages", addresses, messages)
	}
}

// settledSince says whether nothing has come for that long.
func (b *bench) settledSince(h *handset, quiet time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.times) > 0 && time.Since(h.times[len(h.times)-1]) > quiet
}

func scheduleAndThrottle(b *bench) {
	h := b.listen(ack)
	start := time.Now().Add(700 * time.Millisecond)
	made := b.create(store.Broadcast{Text: "hello", Start: start, Rate: 40}, 40)
	b.broadcaster()
	b.awaitDone(made)
	h.mu.Lock()
	defer h.mu.Unlock()
	first, last := h.times[0], h.times[len(h.times)-1]
	if first.Before(start) {
		b.Errorf("it began %s before its time", start.Sub(first))
	}
	// The first may be seen late on a busy machine, and the last never early.
	if took := last.Sub(start); len(h.times) != 40 || took < 900*time.Millisecond {
		b.Errorf("%d messages came within %s, faster than 40 a second", len(h.times), took)
	}
}

// Replicas share a broadcast, and nobody gets it twice.
func replicasShare(b *bench) {
	h := b.listen(ack)
	made := b.create(store.Broadcast{Text: "hello", BatchSize: 10}, 1000)
	for range 3 {
		b.broadcaster()
	}
	info := b.awaitDone(made)
	addresses, messages := h.count()
	if addresses != 1000 || messages != 1000 || info.Sent != 1000 {
		b.Errorf("%d addresses got %d messages; at the end: %+v", addresses, messages, info)
	}
	if open := slices.Collect(func(yield func(store.Record) bool) {
		for r := range b.db.Messages(b.Context(), store.Filter{Status: store.StatusPassing}) {
			if !yield(r) {
				return
			}
		}
	}); len(open) > 0 {
		b.Errorf("%d are still on their way", len(open))
	}
}

// A database that is away for a while holds a broadcast up for that while, and
// not until the leases of its batches have ended.
func awayInBetween(b *bench) {
	h := b.listen(ack)
	made := b.create(store.Broadcast{Text: "hello", BatchSize: 10}, 300)
	p := b.worker()
	p.Broadcasts = true
	b.start(p, &flaky{Database: b.db})
	if info := b.awaitDone(made); info.Sent != 300 {
		b.Errorf("at the end: %+v", info)
	}
	if addresses, messages := h.count(); addresses != 300 || messages != 300 {
		b.Errorf("%d addresses got %d messages", addresses, messages)
	}
}

// flaky fails at every third claim and finish.
type flaky struct {
	store.Database
	calls atomic.Int64
}

var errFlaky = errors.New("the database is away")

func (f *flaky) Claim(ctx context.Context, batch int64, owner string, lease time.Duration) ([]store.Handover, error) {
	if f.calls.Add(1)%3 == 0 {
		return nil, errFlaky
	}
	return f.Database.Claim(ctx, batch, owner, lease)
}

// Finish fails after the deed: the worker cannot know that it is done.
func (f *flaky) Finish(ctx context.Context, batch int64, owner string, handed []store.Handover, done bool) error {
	err := f.Database.Finish(ctx, batch, owner, handed, done)
	if f.calls.Add(1)%3 == 0 {
		return errFlaky
	}
	return err
}
