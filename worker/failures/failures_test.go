package failures

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
	"switchboard/worker/deadletter"
)

// bench is a failure worker of the transport sms, and its queues.
type bench struct {
	*testing.T
	broker broker.Broker
	worker *Failures
}

func newBench(t *testing.T, b broker.Broker) *bench {
	f := New()
	f.Transports = options.Names{"sms"}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	return &bench{t, b, f}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// run runs the worker until stop.
func (b *bench) run() (stop func()) {
	b.Helper()
	for _, flow := range []string{"sms.outbound", "sms.event", "sms.failures"} {
		b.must(b.broker.Declare(b.Context(), broker.Queue{Name: flow, Keys: []string{flow}}))
	}
	w, err := b.worker.Worker(worker.Dependencies{
		Name: "failures", Broker: b.broker, Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"worker": "failures"}, prometheus.NewRegistry()), // as of a process
	})
	b.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		b.must(<-done)
	}
}

// fail publishes what a transport says of a message it could not send.
func (b *bench) fail(m *message.Message, code message.FailureCode, reason string) {
	b.Helper()
	b.publish(message.NewFailure(m, code, reason).Encode())
}

func (b *bench) publish(body []byte) {
	b.Helper()
	b.must(b.broker.Publish(b.Context(), broker.Publication{Key: "sms.failures", Body: body}))
}

// take takes all bodies of a queue away.
func (b *bench) take(queue string) (bodies [][]byte) {
	b.Helper()
	b.must(b.broker.Browse(b.Context(), queue, 100, func(d *broker.Delivery) (broker.Verdict, error) {
		bodies = append(bodies, d.Body)
		return broker.Remove, nil
	}))
	return bodies
}

func outgoing(id string) *message.Message {
	m := message.New()
	m.ID, m.From, m.To, m.TransportName, m.Content = id, "1234", "+27831234567", "sms", "hello"
	return m
}

// A temporary failure is tried again at Vumi's delays, as often as max_attempts allows,
// and is then a dead letter of which the application knows.
func TestTemporaryFailuresAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := memory.New(memory.Settings{})
		defer func() { _ = conn.Close(context.Background()) }()
		b := newBench(t, conn)
		b.worker.MaxAttempts = 4
		stop := b.run()
		m := outgoing("m1")
		for try, least := range []time.Duration{time.Second, 3 * time.Second, 9 * time.Second} {
			b.fail(m, message.FailureTemporary, "no credit")
			synctest.Wait()
			if early := b.take("sms.outbound"); len(early) != 0 {
				t.Fatalf("try %d came at once", try)
			}
			time.Sleep(least * 13 / 10)
			synctest.Wait()
			again := b.take("sms.outbound")
			if len(again) != 1 {
				t.Fatalf("%d messages after try %d", len(again), try)
			}
			var err error
			m, err = message.Decode(again[0])
			b.must(err)
			if got := retries(m); m.ID != "m1" || got.Retries != try+1 || got.Delay < least.Seconds() {
				t.Errorf("try %d: %s", try, again[0])
			}
		}
		b.fail(m, message.FailureTemporary, "no credit")
		synctest.Wait()
		b.wantKept("m1", worker.ReasonExhausted, "no credit", 4)
		stop()
	})
}

// wantKept wants one dead letter of sms.outbound, and one nack.
func (b *bench) wantKept(id, reason, text string, attempts int) {
	b.Helper()
	list, _, err := deadletter.List(b.Context(), b.broker, "sms.outbound", 10, deadletter.Filter{})
	b.must(err)
	if len(list) != 1 || list[0].MessageID != id || list[0].Reason != reason || list[0].Error != text || list[0].Attempts != attempts {
		b.Errorf("dead letters: %+v", list)
	}
	events := b.take("sms.event")
	if len(events) != 1 {
		b.Fatalf("%d events", len(events))
	}
	nack, err := message.DecodeEvent(events[0])
	b.must(err)
	if nack.Type != message.Nack || nack.MessageID != id || nack.NackReason != text || nack.TransportName != "sms" {
		b.Errorf("got %s", events[0])
	}
}

// What cannot be sent is kept; retried by hand it begins anew.
func TestPermanentFailuresAreKept(t *testing.T) {
	for _, code := range []message.FailureCode{message.FailurePermanent, message.FailureUnspecified} {
		conn := memory.New(memory.Settings{})
		b := newBench(t, conn)
		stop := b.run()
		m := outgoing("m1")
		m.SetExtra(retryKey, retryMetadata{Retries: 2, Delay: 9})
		b.fail(m, code, "no such number")
		b.awaitTaken()
		b.wantKept("m1", worker.ReasonPermanent, "no such number", 3)
		n, err := deadletter.Again{}.Retry(t.Context(), conn, "sms.outbound", deadletter.Filter{})
		b.must(err)
		again, err := message.Decode(b.take("sms.outbound")[0])
		b.must(err)
		if n != 1 || retries(again).Retries != 0 {
			t.Errorf("%d retried: %s", n, again.Encode())
		}
		stop()
		b.must(conn.Close(context.Background()))
	}
}

// mismatched is a broker on which a queue is of another type; it counts who declares it.
type mismatched struct {
	*memory.Broker
	queue    string
	declared atomic.Int32
}

func (m *mismatched) Declare(ctx context.Context, q broker.Queue) error {
	if q.Name == m.queue {
		m.declared.Add(1)
		return broker.ErrQueueMismatch
	}
	return m.Broker.Declare(ctx, q)
}

// What cannot be put where it belongs returns to its queue, and is not taken at full speed.
func TestWhatFailsForGoodIsTakenSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &mismatched{Broker: memory.New(memory.Settings{}), queue: "sms.retry"}
		defer func() { _ = conn.Close(context.Background()) }()
		b := newBench(t, conn)
		b.worker.RetryKey = conn.queue
		stop := b.run()
		b.fail(outgoing("m1"), message.FailureTemporary, "no credit")
		time.Sleep(10500 * time.Millisecond)
		if n := conn.declared.Load(); n != 11 {
			t.Errorf("tried %d times in 10 s", n)
		}
		stop()
		if kept := b.take("sms.failures"); len(kept) != 1 {
			t.Errorf("%d failures are kept", len(kept))
		}
	})
}

// A transport of ours has kept and nacked its message already; what is no failure is a dead
// letter of its own queue.
func TestKnownAndInvalidFailures(t *testing.T) {
	conn := memory.New(memory.Settings{})
	defer func() { _ = conn.Close(context.Background()) }()
	b := newBench(t, conn)
	defer b.run()()
	known := message.NewFailure(outgoing("m1"), message.FailurePermanent, "x")
	known.HelperMetadata.Set(message.DeadLetteredKey, true)
	b.publish(known.Encode())
	b.publish([]byte("no failure"))
	b.awaitTaken()
	for _, queue := range []string{"sms.outbound", "sms.event"} {
		if got := b.take(queue); len(got) != 0 {
			t.Errorf("on %s: %q", queue, got)
		}
	}
	list, _, err := deadletter.List(t.Context(), conn, "sms.failures", 10, deadletter.Filter{})
	if err != nil || len(list) != 1 || list[0].Reason != worker.ReasonInvalid {
		t.Errorf("dead letters: %+v, %v", list, err)
	}
}

// awaitTaken waits until nothing is left to be taken.
func (b *bench) awaitTaken() {
	b.Helper()
	marker := outgoing("marker") // comes back last, as failures are taken in order
	b.fail(marker, message.FailureTemporary, "marker")
	testutil.Eventually(b, "the failures are taken", func() bool { return len(b.take("sms.outbound")) > 0 })
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Failures){
		"transport_names": func(f *Failures) { f.Transports = nil },
		"connector name":  func(f *Failures) { f.Transports = options.Names{"SMS"} },
		"is the same for": func(f *Failures) { f.Transports, f.RetryKey = options.Names{"a", "b"}, "a.outbound" },
		"max_attempts":    func(f *Failures) { f.MaxAttempts = 0 },
	} {
		f := New()
		f.Transports = options.Names{"sms"}
		change(f)
		if err := f.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	vumis := New()
	vumis.TransportName, vumis.FailuresKey, vumis.RetryKey = "sms", "sms.failures", "sms.outbound"
	if err := vumis.Validate(); err != nil {
		t.Error(err)
	}
}
