package deadletter_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/internal/testutil"
	"switchboard/message"
	statememory "switchboard/store/memory"
	"switchboard/worker"
	"switchboard/worker/deadletter"
)

func TestOnMemory(t *testing.T) {
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	run(t, func(*testing.T) broker.Broker { return b.Connect() })
}

// run runs the suite; connect opens one more connection to the same queues.
func run(t *testing.T, connect func(*testing.T) broker.Broker) {
	for name, test := range map[string]func(*bench){
		"list": testList, "list is bounded": testListBounded, "retry": testRetry, "retry some": testRetrySome, "drop": testDrop,
		"nothing there": testNothing, "right after another command": testRightAfter, "equal ones": testEqual, "not all seen": testPartial, "no queue to go back to": testNoQueue, "killed in between": testKilled,
	} {
		t.Run(name, func(t *testing.T) { test(newBench(t, connect)) })
	}
}

// bench is a connector with a name of its own.
type bench struct {
	*testing.T
	ctx     context.Context
	connect func() broker.Broker
	broker  broker.Broker
	queue   string
	source  worker.Subscription
}

func newBench(t *testing.T, connect func(*testing.T) broker.Broker) *bench {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	open := func() broker.Broker {
		b := connect(t)
		t.Cleanup(func() { closeBroker(b) })
		return b
	}
	name := "dead." + strings.ToLower(rand.Text()[:10])
	b := &bench{T: t, ctx: ctx, connect: open, queue: name + ".inbound", source: worker.Subscription{Connector: name, Flow: message.Inbound}}
	b.broker = open()
	t.Cleanup(func() {
		closing := connect(t)
		defer closeBroker(closing)
		for _, queue := range []string{b.queue, b.queue + broker.DeadSuffix} {
			if err := closing.Delete(context.Background(), queue); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

func closeBroker(b broker.Broker) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.Close(ctx)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// serve runs a real worker until n items were handled by it, one after the
// other.
func (b *bench) serve(n int, handle func(*worker.Delivery) error) {
	b.Helper()
	conn := b.connect()
	state := statememory.New()
	defer func() { _ = state.Close() }()
	core := &worker.Runtime{
		Dependencies: worker.Dependencies{Name: "w", Broker: conn, State: state, Logger: slog.New(slog.DiscardHandler)},
		Settings:     worker.DefaultSettings(),
	}
	ctx, cancel := context.WithCancel(b.ctx)
	source := b.source
	handled := 0
	source.Handle = func(_ context.Context, item *worker.Delivery) {
		item.Settle(handle(item))
		if handled++; handled == n {
			cancel()
		}
	}
	b.must(core.Serve(ctx, source))
	closeBroker(conn)
	if handled < n {
		b.Fatalf("%d of %d were handled", handled, n)
	}
}

func (b *bench) publish(ids ...string) {
	b.Helper()
	b.must(b.broker.Declare(b.ctx, broker.Queue{Name: b.queue, Keys: []string{b.queue}}))
	for _, id := range ids {
		m := message.New()
		m.ID, m.From, m.To, m.Content = id, "+27821234567", "12345", "secret "+id
		b.must(b.broker.Publish(b.ctx, broker.Publication{Key: b.queue, Body: m.Encode(), Headers: broker.Headers{worker.HeaderSince: yesterday}}))
	}
}

// yesterday is when what is published was received first.
var yesterday = time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)

// deadLetter makes dead letters of messages.
func (b *bench) deadLetter(ids ...string) {
	b.Helper()
	b.publish(ids...)
	b.serve(len(ids), func(item *worker.Delivery) error {
		return message.Permanent(fmt.Errorf("no number %s", item.ID()))
	})
}

func (b *bench) list(f deadletter.Filter) []deadletter.DeadLetter {
	b.Helper()
	list, _, err := deadletter.List(b.ctx, b.broker, b.queue, 1000, f)
	b.must(err)
	return list
}

// expect says which messages are dead, and how many wait in the queue itself.
func (b *bench) expect(queued int, dead ...string) {
	b.Helper()
	testutil.Eventually(b, fmt.Sprintf("%v are dead and %d are queued", dead, queued), func() bool {
		var ids []string
		for _, l := range b.list(deadletter.Filter{}) {
			ids = append(ids, l.MessageID)
		}
		info, err := b.broker.Inspect(b.ctx, b.queue)
		b.must(err)
		slices.Sort(ids)
		return info.Messages == queued && slices.Equal(ids, dead)
	})
}

func testList(b *bench) {
	before := time.Now().Add(-time.Second)
	b.deadLetter("a", "b")
	b.must(b.broker.Publish(b.ctx, broker.Publication{Key: b.queue, Body: []byte("rubbish")}))
	b.publish("c")
	b.serve(1, func(*worker.Delivery) error { return nil }) // the rubbish never gets there
	b.expect(0, "", "a", "b")
	list := b.list(deadletter.Filter{})
	a := list[slices.IndexFunc(list, func(l deadletter.DeadLetter) bool { return l.MessageID == "a" })]
	if a.Queue != b.queue || a.Reason != worker.ReasonPermanent || a.Error != "no number a" || a.Attempts != 1 || a.Worker != "w" ||
		a.FirstFailed.Before(before.Truncate(time.Second)) || a.LastFailed.Before(a.FirstFailed) || !strings.Contains(string(a.Body), "secret a") {
		b.Errorf("got %+v", a)
	}
	for name, c := range map[string]struct {
		filter deadletter.Filter
		want   int
	}{
		"all":               {deadletter.Filter{}, 3},
		"by reason":         {deadletter.Filter{Reason: worker.ReasonInvalid}, 1},
		"by another reason": {deadletter.Filter{Reason: worker.ReasonPanic}, 0},
		"by its ID":         {deadletter.Filter{IDs: []string{a.ID}}, 1},
		"by message":        {deadletter.Filter{IDs: []string{"b", "x"}}, 1},
		"by no message":     {deadletter.Filter{IDs: []string{""}}, 0},
		"by error":          {deadletter.Filter{Error: "no number"}, 2},
		"by all":            {deadletter.Filter{IDs: []string{"a"}, Reason: worker.ReasonPermanent, Error: "number a"}, 1},
		"by too much":       {deadletter.Filter{IDs: []string{"a"}, Reason: worker.ReasonPermanent, Error: "number b"}, 0},
	} {
		if got := b.list(c.filter); len(got) != c.want {
			b.Errorf("%s: %d dead letters, want %d", name, len(got), c.want)
		}
	}
}

func testListBounded(b *bench) {
	b.deadLetter("a", "b", "c")
	b.expect(0, "a", "b", "c")
	list, more, err := deadletter.List(b.ctx, b.broker, b.queue+broker.DeadSuffix, 2, deadletter.Filter{})
	b.must(err)
	if len(list) != 2 || more != 1 {
		b.Errorf("%d, and %d more", len(list), more)
	}
	list, more, err = deadletter.List(b.ctx, b.broker, b.queue, 1, deadletter.Filter{Error: "number c"})
	b.must(err)
	if len(list) != 1 || more != 0 {
		b.Errorf("filtered: %d, and %d more", len(list), more)
	}
	b.expect(0, "a", "b", "c")
}

func testRetry(b *bench) {
	b.deadLetter("a", "b")
	b.expect(0, "a", "b")
	n, err := deadletter.Again{}.Retry(b.ctx, b.broker, b.queue, deadletter.Filter{})
	if err != nil || n != 2 {
		b.Fatalf("%d, %v", n, err)
	}
	b.expect(2)
	b.serve(2, func(item *worker.Delivery) error {
		if item.Attempts() != 0 || item.Message.Content != "secret "+item.ID() {
			b.Errorf("message %s comes with %d attempts and content %q", item.ID(), item.Attempts(), item.Message.Content)
		}
		if time.Since(item.Since()) > time.Hour {
			b.Errorf("message %s was received first at %s: it may be too old at once", item.ID(), item.Since())
		}
		return message.Permanent(errors.New("still no number"))
	})
	b.expect(0, "a", "b")
	if l := b.list(deadletter.Filter{})[0]; l.Error != "still no number" || l.Attempts != 1 || l.Headers[worker.HeaderKey] != b.queue {
		b.Errorf("after failing again: %+v", l)
	}
}

func testRetrySome(b *bench) {
	b.deadLetter("a", "b", "c")
	b.expect(0, "a", "b", "c")
	n, err := deadletter.Again{}.Retry(b.ctx, b.broker, b.queue, deadletter.Filter{IDs: []string{"b"}})
	if err != nil || n != 1 {
		b.Fatalf("%d, %v", n, err)
	}
	b.expect(1, "a", "c")
}

func testDrop(b *bench) {
	b.deadLetter("a", "b", "c")
	b.expect(0, "a", "b", "c")
	n, err := deadletter.Drop(b.ctx, b.broker, b.queue, deadletter.Filter{Error: "number c"}, nil)
	if err != nil || n != 1 {
		b.Fatalf("%d, %v", n, err)
	}
	b.expect(0, "a", "b")
}

func testNothing(b *bench) {
	b.publish("a")
	b.expect(1)
	for _, act := range []func() (int, error){
		func() (int, error) { return deadletter.Again{}.Retry(b.ctx, b.broker, b.queue, deadletter.Filter{}) },
		func() (int, error) { return deadletter.Drop(b.ctx, b.broker, b.queue, deadletter.Filter{}, nil) },
	} {
		if n, err := act(); n != 0 || err != nil {
			b.Errorf("%d, %v", n, err)
		}
	}
}

// A queue that was deleted meanwhile: the dead letter stays.
func testNoQueue(b *bench) {
	b.deadLetter("a")
	b.expect(0, "a")
	b.must(b.broker.Delete(b.ctx, b.queue))
	n, err := deadletter.Again{}.Retry(b.ctx, b.connect(), b.queue, deadletter.Filter{})
	if n != 0 || !errors.Is(err, broker.ErrUnroutable) || !strings.Contains(err.Error(), "start the worker") {
		b.Errorf("%d, %v", n, err)
	}
	b.publish()
	b.expect(0, "a")
}

// killed is a connection that dies right after the broker has confirmed.
type killed struct{ broker.Broker }

func (k killed) Publish(ctx context.Context, p broker.Publication) error {
	err := k.Broker.Publish(ctx, p)
	closeBroker(k.Broker)
	if err != nil {
		return err
	}
	return broker.ErrLost
}

// Killed after the first was confirmed on its queue and before it was taken
// away: it is in both places, and the others where they were.
func testKilled(b *bench) {
	b.deadLetter("a", "b")
	b.expect(0, "a", "b")
	n, err := deadletter.Again{}.Retry(b.ctx, killed{b.connect()}, b.queue, deadletter.Filter{})
	if n != 0 || err == nil {
		b.Fatalf("%d, %v", n, err)
	}
	b.expect(1, "a", "b")
}

// What an earlier command has looked at, or held when it was killed, is there for the
// next one.
func testRightAfter(b *bench) {
	const all = 4000
	dead := b.queue + broker.DeadSuffix
	b.must(b.broker.Declare(b.ctx, broker.Queue{Name: b.queue}))
	b.must(b.broker.Declare(b.ctx, broker.Queue{Name: dead}))
	results := make(chan error, all)
	for i := range all {
		b.broker.PublishAsync(b.ctx, broker.Publication{Queue: dead, Body: fmt.Append(nil, i)}, func(err error) { results <- err })
	}
	for range all {
		b.must(<-results)
	}
	list, more, err := deadletter.List(b.ctx, b.broker, b.queue, 1, deadletter.Filter{})
	if err != nil || len(list)+more != all {
		b.Fatalf("listed %d and %d more, %v", len(list), more, err)
	}
	killed := b.connect()
	err = killed.Browse(b.ctx, dead, all, func(d *broker.Delivery) (broker.Verdict, error) {
		if string(d.Body) == fmt.Sprint(all-1) {
			closeBroker(killed)
		}
		return broker.Keep, nil
	})
	if err != nil && !errors.Is(err, broker.ErrLost) {
		b.Fatal(err)
	}
	if n, err := deadletter.Drop(b.ctx, b.connect(), b.queue, deadletter.Filter{}, nil); n != all || err != nil {
		b.Errorf("dropped %d of %d, %v", n, all, err)
	}
}

func testEqual(b *bench) {
	dead := broker.Queue{Name: b.queue + broker.DeadSuffix}
	b.must(b.broker.Declare(b.ctx, dead))
	for range 3 {
		b.must(b.broker.Publish(b.ctx, broker.Publication{Queue: dead.Name, Body: []byte("same")}))
	}
	list := b.list(deadletter.Filter{})
	if len(list) != 3 || list[1].ID != list[0].ID+"-2" || list[2].ID != list[0].ID+"-3" {
		b.Fatalf("got %+v", list)
	}
	if n, err := deadletter.Drop(b.ctx, b.broker, b.queue, deadletter.Filter{IDs: []string{list[1].ID}}, nil); n != 1 || err != nil {
		b.Errorf("dropped %d, %v", n, err)
	}
}

// without is a broker that another command holds a body of.
type without struct{ broker.Broker }

func (w without) Browse(ctx context.Context, queue string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) error {
	return w.Broker.Browse(ctx, queue, limit-1, visit)
}

func testPartial(b *bench) {
	b.deadLetter("a", "b", "c")
	b.expect(0, "a", "b", "c")
	n, err := deadletter.Drop(b.ctx, without{b.broker}, b.queue, deadletter.Filter{}, nil)
	var partial *deadletter.PartialError
	if n != 2 || !errors.As(err, &partial) || partial.Seen != 2 || partial.All != 3 {
		b.Errorf("dropped %d: %v", n, err)
	}
	if left := b.list(deadletter.Filter{}); len(left) != 1 {
		b.Errorf("%d are left", len(left))
	}
}
