package receivers_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/fleet"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/operate/queues"
	"switchboard/options"
	"switchboard/receivers"
	"switchboard/worker"
)

func TestOnMemory(t *testing.T) {
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	runAll(t, b)
}

// runAll tries all that receivers promise on a broker.
func runAll(t *testing.T, b broker.Broker) {
	for name, test := range map[string]func(*bench){
		"types of messages": typedMessages, "outcomes": outcomes, "restarts": restarts, "deleted queue": deletedQueue, "visibility timeout": visibilityTimeout,
		"delete on start": deleteOnStart, "suffixes": suffixes, "message limit": messageLimit,
		"concurrency": concurrency, "without a function": withoutFunction, "stop": stopWaits, "operators": operators,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&bench{TB: t, broker: b, prefix: "receivers-" + strings.ToLower(rand.Text()[:10]) + "."})
		})
	}
}

// What must not happen is waited for in a time of its own.
func TestInABubble(t *testing.T) {
	for name, test := range map[string]func(*bench){"restarts": restarts, "delete on start": deleteOnStart, "concurrency": concurrency, "message limit": messageLimit, "stop": stopWaits} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mq := memory.New(memory.Settings{})
				t.Cleanup(func() { _ = mq.Close(context.Background()) })
				test(&bench{TB: t, broker: mq, prefix: "bubble.", bubble: true})
			})
		})
	}
}

// bench is a broker, and names of its own on it.
type bench struct {
	testing.TB
	broker broker.Broker
	prefix string
	bubble bool
}

// pass lets an hour pass, in a bubble.
func (b *bench) pass() {
	if b.bubble {
		time.Sleep(time.Hour)
	}
}

// set makes an empty set.
func (b *bench) set() *receivers.Receivers {
	r := receivers.New()
	r.QueuePrefix = b.prefix
	r.RetryInitialDelay = options.Duration(10 * time.Millisecond)
	r.Use(b.broker)
	b.Cleanup(func() {
		for _, name := range r.Queues() {
			_ = b.broker.Delete(context.Background(), name)
			_ = b.broker.Delete(context.Background(), name+broker.DeadSuffix)
		}
	})
	return r
}

// run runs a set until stop, or the test ends.
func (b *bench) run(r *receivers.Receivers) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, b.broker) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Errorf("the set ended with %v", err)
		}
	})
	b.Cleanup(stop)
	return stop
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func next[T any](b *bench, from <-chan T) (v T) {
	b.Helper()
	select {
	case v = <-from:
	case <-time.After(testutil.Patience):
		b.Fatal("nothing was received")
	}
	return v
}

// length is how many wait in a queue; -1 where there is none.
func (b *bench) length(queue string) int {
	b.Helper()
	info, err := b.broker.Inspect(context.Background(), b.prefix+queue)
	if errors.Is(err, broker.ErrNoQueue) {
		return -1
	}
	b.ok(err)
	return info.Messages
}

// dead is the error of the next dead letter of a queue.
func (b *bench) dead(queue string) (text string) {
	b.Helper()
	testutil.Eventually(b, "a dead letter of "+queue, func() bool {
		_ = b.broker.Browse(context.Background(), b.prefix+queue+broker.DeadSuffix, 1, func(d *broker.Delivery) (broker.Verdict, error) {
			text = d.Headers[worker.HeaderError]
			return broker.Remove, nil
		})
		return text != ""
	})
	return text
}

type order struct {
	Number int      `json:"number"`
	Items  []string `json:"items"`
}

func typedMessages(b *bench) {
	r, ctx := b.set(), b.Context()
	got := make(chan any, 1)
	raw := receivers.Register(r, receivers.Queue[[]byte]{Name: "raw", Receive: func(_ context.Context, v []byte) error { got <- v; return nil }})
	text := receivers.Register(r, receivers.Queue[string]{Name: "text", Receive: func(_ context.Context, v string) error { got <- v; return nil }})
	orders := receivers.Register(r, receivers.Queue[order]{Name: "orders", Receive: func(_ context.Context, v order) error { got <- v; return nil }})
	rows := receivers.Register(r, receivers.Queue[receivers.Row]{Name: "rows", Receive: func(_ context.Context, v receivers.Row) error { got <- v; return nil }})
	b.run(r)
	for want, send := range map[string]func() error{
		"[0 255]":                  func() error { return raw.Send(ctx, []byte{0, 255}) },
		"Lorem ipsum dolor":        func() error { return text.Send(ctx, "Lorem ipsum dolor") },
		"{7 [tea milk]}":           func() error { return orders.Send(ctx, order{7, []string{"tea", "milk"}}) },
		"{rapidsms.Connection 12}": func() error { return rows.Send(ctx, receivers.Row{Table: "rapidsms.Connection", Key: "12"}) },
	} {
		b.ok(send())
		if v := fmt.Sprint(next(b, got)); v != want {
			b.Errorf("sent %s, received %s", want, v)
		}
	}
	if err := raw.Send(ctx, make([]byte, r.MaxBodyBytes+1)); err == nil {
		b.Error("a message that is too large was sent")
	}
}

func outcomes(b *bench) {
	r, ctx := b.set(), b.Context()
	r.MaxAttempts = 2
	tries := map[string]int{}
	done := make(chan string, 10)
	q := receivers.Register(r, receivers.Queue[string]{Name: "q", VisibilityTimeout: time.Minute, Receive: func(_ context.Context, v string) error {
		tries[v]++
		switch {
		case v == "panics":
			panic("of fright")
		case v == "is permanent":
			return message.Permanent(errors.New("no such row"))
		case v == "fails" || v == "fails once" && tries[v] == 1:
			return errors.New("the database is away")
		}
		done <- v
		return nil
	}})
	numbers := receivers.Register(r, receivers.Queue[int]{Name: "numbers", Receive: func(context.Context, int) error { return nil }})
	b.run(r)
	for _, text := range []string{"panics", "is permanent", "fails", "fails once"} {
		b.ok(q.Send(ctx, text))
	}
	if succeeded := next(b, done); succeeded != "fails once" {
		b.Errorf("in the end there succeeded %s", succeeded)
	}
	reasons := b.dead("q") + b.dead("q") + b.dead("q")
	for _, want := range []string{"of fright", "no such row", "the database is away"} {
		if !strings.Contains(reasons, want) {
			b.Errorf("no dead letter has %q: %s", want, reasons)
		}
	}
	testutil.Eventually(b, "all is settled", func() bool { return b.length("q") == 0 && b.length("q.dead") == 0 })
	b.ok(b.broker.Publish(ctx, broker.Publication{Queue: r.Queues()[1], Body: []byte("seven")}))
	if text := b.dead("numbers"); !strings.Contains(text, "reading a message of queue numbers") {
		b.Errorf("a body of another type is a dead letter with %q", text)
	}
	b.ok(numbers.Send(ctx, 7))
}

// A message is left in its queue as often as its function says so, also more often than it
// may fail.
func restarts(b *bench) {
	r, done := b.set(), make(chan int, 1)
	r.MaxAttempts = 2
	tries := 0
	q := receivers.Register(r, receivers.Queue[string]{Name: "q", VisibilityTimeout: 5 * time.Second, Receive: func(context.Context, string) error {
		if tries++; tries < 3 {
			return receivers.RestartLater(errors.New("the row is locked"))
		}
		done <- tries
		return nil
	}})
	b.run(r)
	b.ok(q.Send(b.Context(), "one"))
	next(b, done)
	if n := b.length("q.dead"); n > 0 {
		b.Errorf("there are %d dead letters", n)
	}
}

// A queue that somebody deletes is declared again.
func deletedQueue(b *bench) {
	q := receivers.Register(b.set(), receivers.Queue[string]{Name: "q"})
	b.ok(q.Send(b.Context(), "one"))
	b.ok(b.broker.Delete(b.Context(), b.prefix+"q"))
	_ = q.Send(b.Context(), "two") // it may learn of it only now
	b.ok(q.Send(b.Context(), "three"))
}

// A message whose function takes too long is received again, while that function still
// runs and learns that it is late.
func visibilityTimeout(b *bench) {
	r, release := b.set(), make(chan struct{})
	causes, done := make(chan error, 1), make(chan bool, 10)
	var calls atomic.Int32
	q := receivers.Register(r, receivers.Queue[string]{
		Name: "q", VisibilityTimeout: 50 * time.Millisecond, Concurrency: 2,
		Receive: func(ctx context.Context, _ string) error {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				<-release
				return nil
			}
			done <- true
			return nil
		},
	})
	b.run(r)
	b.ok(q.Send(b.Context(), "slow"))
	if err := next(b, causes); !strings.Contains(err.Error(), "visibility_timeout (50ms)") {
		b.Errorf("the late function learned %v", err)
	}
	next(b, done)
	close(release)
}

// A message is gone when its function begins, whatever becomes of that.
func deleteOnStart(b *bench) {
	r := b.set()
	began, release := make(chan string, 2), make(chan struct{})
	q := receivers.Register(r, receivers.Queue[string]{Name: "q", DeleteOnStart: true, Receive: func(_ context.Context, v string) error {
		began <- v
		if v == "first" {
			<-release
			return errors.New("too late")
		}
		return nil
	}})
	stop := b.run(r)
	b.ok(q.Send(b.Context(), "first"))
	next(b, began)
	other := b.set() // a second process would get what is not deleted
	got := make(chan string, 2)
	receivers.Register(other, receivers.Queue[string]{Name: "q", Receive: func(_ context.Context, v string) error { got <- v; return nil }})
	close(release)
	b.pass()
	testutil.Eventually(b, "the queue is empty", func() bool { return b.length("q") == 0 })
	stop()
	b.run(other)
	b.ok(q.Send(b.Context(), "second"))
	if v := next(b, got); v != "second" {
		b.Errorf("received %q again", v)
	}
	if n := b.length("q.dead"); n > 0 || len(began) > 0 {
		b.Errorf("there are %d dead letters, and the function was called %d times more", n, len(began))
	}
}

// lockedLog is what was logged.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func suffixes(b *bench) {
	r, log, ctx := b.set(), new(lockedLog), b.Context()
	r.Suffix = "big"
	got := make(chan string, 1)
	q := receivers.Register(r, receivers.Queue[string]{Name: "q", Suffixes: []string{"big"}, Receive: func(_ context.Context, v string) error { got <- v; return nil }})
	w, err := r.Worker(worker.Dependencies{Name: "w", Broker: b.broker, Logger: slog.New(slog.NewTextHandler(log, nil))})
	b.ok(err)
	runCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(runCtx) }()
	defer func() { cancel(); b.ok(<-ended) }()
	b.ok(q.Send(ctx, "small"))
	b.ok(q.SendTo(ctx, "big", "a big one"))
	if v := next(b, got); v != "a big one" {
		b.Errorf("q.big had %q", v)
	}
	if log.String() != "" {
		b.Errorf("a suffix that is known is warned of: %s", log)
	}
	b.ok(q.SendTo(ctx, "gib", "a slip"))
	defer func() { _ = b.broker.Delete(context.Background(), b.prefix+"q.gib") }()
	if !strings.Contains(log.String(), "suffix=gib known=big") {
		b.Errorf("no warning of a suffix that is not known: %s", log)
	}
	testutil.Eventually(b, "the others wait", func() bool { return b.length("q") == 1 && b.length("q.gib") == 1 && b.length("q.big") == 0 })
}

func messageLimit(b *bench) {
	r := b.set()
	r.MessageLimit = 3
	var received atomic.Int32
	q := receivers.Register(r, receivers.Queue[int]{Name: "q", Concurrency: 5, Receive: func(context.Context, int) error { received.Add(1); return nil }})
	for i := range 5 {
		b.ok(q.Send(b.Context(), i))
	}
	b.ok(r.Run(b.Context(), b.broker))
	if received.Load() != 3 {
		b.Errorf("received %d", received.Load())
	}
	testutil.Eventually(b, "two are left", func() bool { return b.length("q") == 2 })
}

// So many run at once as Concurrency says, and no more, also where no message is kept while
// its function runs.
func concurrency(b *bench) {
	runAtOnce(b, "kept", false)
	runAtOnce(b, "deleted", true)
}

func runAtOnce(b *bench, name string, deleteOnStart bool) {
	const n = 3
	r, began, release := b.set(), make(chan struct{}, 3*n), make(chan struct{})
	var running, most atomic.Int32
	q := receivers.Register(r, receivers.Queue[int]{Name: name, Concurrency: n, DeleteOnStart: deleteOnStart, Receive: func(context.Context, int) error {
		now := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		began <- struct{}{}
		<-release
		return nil
	}})
	b.run(r)
	for i := range 3 * n {
		b.ok(q.Send(b.Context(), i))
	}
	for range n {
		next(b, began)
	}
	b.pass()
	close(release)
	for range 2 * n {
		next(b, began)
	}
	if most.Load() != n {
		b.Errorf("%d ran at once", most.Load())
	}
}

// A queue without a function can be sent to; nothing is received from it.
func withoutFunction(b *bench) {
	r, done := b.set(), make(chan bool, 1)
	manual := receivers.Register(r, receivers.Queue[string]{Name: "manual"})
	other := receivers.Register(r, receivers.Queue[string]{Name: "other", Receive: func(context.Context, string) error { done <- true; return nil }})
	b.run(r)
	b.ok(manual.Send(b.Context(), "for somebody else"))
	b.ok(other.Send(b.Context(), "for us"))
	next(b, done)
	if n := b.length("manual"); n != 1 {
		b.Errorf("%d wait", n)
	}
}

// A stop waits for the functions that run, and receives nothing more.
func stopWaits(b *bench) {
	stopOne(b, "kept", false)
	stopOne(b, "deleted", true)
}

func stopOne(b *bench, name string, deleteOnStart bool) {
	r, began, release := b.set(), make(chan struct{}), make(chan struct{})
	r.StopTimeout = options.Duration(2 * time.Hour)
	q := receivers.Register(r, receivers.Queue[string]{Name: name, VisibilityTimeout: 4 * time.Hour, DeleteOnStart: deleteOnStart, Receive: func(ctx context.Context, _ string) error {
		close(began)
		<-release
		return ctx.Err()
	}})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, b.broker) }()
	b.ok(q.Send(b.Context(), "one"))
	next(b, began)
	b.ok(q.Send(b.Context(), "two")) // waits for the place of one, here or on the broker
	b.pass()
	cancel()
	b.pass()
	if len(ended) > 0 {
		b.Errorf("the stop did not wait: %v", <-ended)
	}
	b.ok(q.Send(b.Context(), "three"))
	close(release)
	b.ok(next(b, ended))
	testutil.Eventually(b, "one is done, the others left", func() bool { return b.length(name) == 2 })
}

// What an operator asks of a fleet knows the queues of its receivers.
func operators(b *bench) {
	var file *receivers.Receivers
	classes := fleet.Classes{Workers: map[string]fleet.Class[fleet.Standalone]{"shop": {New: func() fleet.Standalone {
		file = receivers.New()
		receivers.Register(file, receivers.Queue[string]{Name: "q", Suffixes: []string{"big"}, Receive: func(context.Context, string) error { return nil }})
		receivers.Register(file, receivers.Queue[string]{Name: "manual"})
		return file
	}}}}
	path := filepath.Join(b.TempDir(), "shop.yaml")
	write := func(more string) {
		b.ok(os.WriteFile(path, []byte("worker_class: shop\nqueue_prefix: "+b.prefix+"\n"+more), 0o600))
	}
	for more, want := range map[string]string{
		"queue_names: [qq]":     `has "qq", which this program does not register`,
		"queue_names: [manual]": `has "manual", which has no function to receive with`,
		"visibility_timeout: 0": "must be above 0",
	} {
		write(more)
		if _, err := classes.Load(path); err == nil || !strings.Contains(err.Error(), want) {
			b.Errorf("%s: %v", more, err)
		}
	}
	write("")
	target, err := queues.Find(classes, []string{path})
	b.ok(err)
	want := []string{b.prefix + "q", b.prefix + "q.big", b.prefix + "manual"}
	if got := target.Queues(); !slices.Equal(got, want) {
		b.Fatalf("the queues are %v, want %v", got, want)
	}
	r, ctx := b.set(), b.Context()
	q := receivers.Register(r, receivers.Queue[string]{Name: "q", Suffixes: []string{"big"}})
	receivers.Register(r, receivers.Queue[string]{Name: "manual"})
	b.ok(q.Send(ctx, "one"))
	b.ok(q.SendTo(ctx, "big", "two"))
	status, _, err := target.Look(ctx, b.broker, queues.Sources{})
	b.ok(err)
	if len(status) != 3 || status[0].Messages != 1 || status[1].Messages != 1 || status[2].Messages != 0 {
		b.Errorf("the status is %+v", status)
	}
	cleared, err := queues.Clear(ctx, b.broker, target.Queues())
	b.ok(err)
	if queues.Sum(cleared) != 2 {
		b.Errorf("cleared %v", cleared)
	}
	waiting, err := queues.Waiting(ctx, b.broker, target.Queues())
	b.ok(err)
	if len(waiting) > 0 {
		b.Errorf("after that there wait %v", waiting)
	}
}

// counting is a broker that counts what it is asked.
type counting struct {
	broker.Broker
	asked atomic.Int32
}

func (c *counting) Declare(ctx context.Context, q broker.Queue) error {
	c.asked.Add(1)
	return c.Broker.Declare(ctx, q)
}

func (c *counting) Inspect(ctx context.Context, queue string) (broker.Info, error) {
	c.asked.Add(1)
	return c.Broker.Inspect(ctx, queue)
}

func (c *counting) Publish(ctx context.Context, p broker.Publication) error {
	c.asked.Add(1)
	return c.Broker.Publish(ctx, p)
}

func (c *counting) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	c.asked.Add(1)
	return c.Broker.ConsumeWithin(ctx, q, limit, handle)
}

// An idle receiver asks its broker nothing, however long it waits, and still receives at
// once.
func TestIdleCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{TB: t, broker: &counting{Broker: memory.New(memory.Settings{})}, prefix: "idle."}
		r, got := b.set(), make(chan time.Time, 1)
		q := receivers.Register(r, receivers.Queue[string]{Name: "q", Receive: func(context.Context, string) error { got <- time.Now(); return nil }})
		stop := b.run(r)
		synctest.Wait()
		counted := b.broker.(*counting)
		began := counted.asked.Load()
		time.Sleep(24 * time.Hour)
		if asked := counted.asked.Load(); asked != began || began == 0 {
			t.Errorf("it asked %d times within a day, after %d to begin with", asked-began, began)
		}
		sent := time.Now()
		b.ok(q.Send(t.Context(), "hello"))
		if late := (<-got).Sub(sent); late != 0 {
			t.Errorf("after a day of waiting it was received %s late", late)
		}
		stop()
		b.ok(b.broker.Close(t.Context()))
	})
}

func TestRegistrationsAreChecked(t *testing.T) {
	receive := func(context.Context, string) error { return nil }
	for want, queues := range map[string][]receivers.Queue[string]{
		"is registered twice":                {{Name: "q", Receive: receive}, {Name: "q"}},
		"must be lower case":                 {{Name: "Q", Receive: receive}},
		"must not be negative":               {{Name: "q", Receive: receive, Concurrency: -1}},
		"no queue has a function to receive": {{Name: "q"}},
	} {
		r := receivers.New()
		for _, q := range queues {
			receivers.Register(r, q)
		}
		if err := r.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
