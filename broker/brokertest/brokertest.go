// Package brokertest checks that a broker keeps the promises of package broker.
// Every implementation runs the same suite.
package brokertest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/broker"
	"switchboard/internal/testutil"
)

// patience is how long the suite waits for something that must happen. It is
// never waited out by a broker that works.
const patience = 30 * time.Second

// Bundle is what the suite needs of an implementation.
type Bundle struct {
	// New opens one more connection to the broker under test; all connections
	// of a run see the same queues. The suite closes it.
	New func(t testing.TB) broker.Broker
	// Faulty opens a connection that can be made to fail. Without it the suite
	// leaves the tests of lost connections out.
	Faulty func(t testing.TB) (broker.Broker, Faults)
}

// Faults are the ways to make a connection fail. Cut is needed; tests that need
// the others run where they are given.
type Faults struct {
	// Cut ends all connections at once; new ones are accepted.
	Cut func()
	// Refuse ends all connections and accepts none while on.
	Refuse func(on bool)
	// BlackHole swallows all traffic, both ways, while on: nobody is told.
	BlackHole func(on bool)
	// Latency holds up all traffic, each way.
	Latency func(time.Duration)
	// Detection is how long the implementation may take to notice a black hole.
	Detection time.Duration
}

// Run runs the whole suite.
func Run(t *testing.T, b Bundle) {
	groups := []map[string]func(*world){publishTests, asyncTests, consumeTests, settleTests, adminTests, delayTests}
	if b.Faulty != nil {
		groups = append(groups, faultTests)
	}
	for _, group := range groups {
		for name, test := range group {
			t.Run(name, func(t *testing.T) { test(newWorld(t, b)) })
		}
	}
}

// world is one test: its names are its own, and it leaves nothing behind.
type world struct {
	*testing.T
	bundle Bundle
	ctx    context.Context
	id     string
	mu     sync.Mutex
	names  int
}

func newWorld(t *testing.T, b Bundle) *world {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	return &world{T: t, bundle: b, ctx: ctx, id: rand.Text()[:10]}
}

// open opens a connection that ends with the test.
func (w *world) open() broker.Broker {
	w.Helper()
	b := w.bundle.New(w)
	w.closeLater(b)
	return b
}

func (w *world) openFaulty() (broker.Broker, Faults) {
	w.Helper()
	b, f := w.bundle.Faulty(w)
	w.closeLater(b)
	return b, f
}

func (w *world) closeLater(b broker.Broker) {
	w.Cleanup(func() { closeBroker(w, b) })
}

func closeBroker(w *world, b broker.Broker) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Close(ctx); err != nil && !errors.Is(err, broker.ErrClosed) {
		w.Errorf("closing: %v", err)
	}
}

// name makes a name nobody else uses.
func (w *world) name(what string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names++
	return fmt.Sprintf("brokertest.%s.%s%d", w.id, what, w.names)
}

// declare makes a queue that is deleted after the test.
func (w *world) declare(b broker.Broker, keys ...string) broker.Queue {
	w.Helper()
	q := broker.Queue{Name: w.name("queue"), Keys: keys}
	w.declareQueue(b, q)
	return q
}

func (w *world) declareQueue(b broker.Broker, q broker.Queue) {
	w.Helper()
	w.must(b.Declare(w.ctx, q))
	w.deleteLater(q.Name)
}

func (w *world) deleteLater(queue string) {
	w.Cleanup(func() {
		b := w.bundle.New(w)
		defer closeBroker(w, b)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Delete(ctx, queue); err != nil {
			w.Errorf("deleting %s: %v", queue, err)
		}
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) wantErr(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("got error %v, want %v", err, want)
	}
}

// publish publishes n numbered bodies to q's queue, one one after the other.
func (w *world) publish(b broker.Broker, q broker.Queue, n int) {
	w.Helper()
	results := make(chan error, n)
	for i := range n {
		b.PublishAsync(w.ctx, broker.Publication{Queue: q.Name, Body: number(i)}, func(err error) { results <- err })
	}
	for range n {
		w.must(<-results)
	}
}

func number(i int) []byte { return fmt.Appendf(nil, "body %d", i) }

// numbers are the bodies from up to but not including to.
func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, string(number(i)))
	}
	return s
}

// await polls until ok holds: for conditions no event announces.
func (w *world) await(what string, ok func() bool) {
	w.Helper()
	testutil.EventuallyWithin(w, patience, what, ok)
}

func (w *world) awaitReady(b broker.Broker, q broker.Queue, n int) {
	w.Helper()
	w.await(fmt.Sprintf("%d bodies are ready", n), func() bool { return w.inspect(b, q).Messages == n })
}

func (w *world) inspect(b broker.Broker, q broker.Queue) broker.Info {
	w.Helper()
	info, err := b.Inspect(w.ctx, q.Name)
	w.must(err)
	return info
}

// consumption is a Consume running in the background.
type consumption struct {
	w         *world
	deliverer chan *broker.Delivery
	stop      context.CancelFunc
	ended     chan error
}

// consume starts a consumer whose deliveries are read by next.
func (w *world) consume(b broker.Broker, q broker.Queue, prefetch int) *consumption {
	w.Helper()
	return w.consumeWithin(b, q, broker.Fixed(prefetch))
}

func (w *world) consumeWithin(b broker.Broker, q broker.Queue, limit func() int) *consumption {
	w.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	c := &consumption{w: w, deliverer: make(chan *broker.Delivery, 65536), stop: stop, ended: make(chan error, 1)}
	go func() {
		c.ended <- b.ConsumeWithin(ctx, q, limit, func(d *broker.Delivery) { c.deliverer <- d })
	}()
	w.Cleanup(stop)
	return c
}

func (c *consumption) next() *broker.Delivery {
	c.w.Helper()
	select {
	case d := <-c.deliverer:
		return d
	case err := <-c.ended:
		c.w.Fatalf("consuming ended: %v", err)
	case <-time.After(patience):
		c.w.Fatal("waited in vain for a body")
	}
	return nil
}

func (c *consumption) take(n int) []*broker.Delivery {
	c.w.Helper()
	all := make([]*broker.Delivery, n)
	for i := range all {
		all[i] = c.next()
	}
	return all
}

// finish ends the consumer, which must have nothing unsettled.
func (c *consumption) finish() {
	c.w.Helper()
	c.stop()
	c.w.must(c.end())
}

func (c *consumption) end() error {
	c.w.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patience):
		c.w.Fatal("consuming does not end")
		return nil
	}
}

// drain takes n bodies, acknowledges them, and expects the queue to be empty then.
func (w *world) drain(b broker.Broker, q broker.Queue, n int) []*broker.Delivery {
	w.Helper()
	c := w.consume(b, q, 100)
	all := make([]*broker.Delivery, n)
	for i := range all {
		all[i] = c.next()
		all[i].Ack()
	}
	c.finish()
	if info := w.inspect(b, q); info.Messages != 0 {
		w.Fatalf("%d bodies are left in the queue", info.Messages)
	}
	return all
}

func bodies(ds []*broker.Delivery) []string {
	s := make([]string, len(ds))
	for i, d := range ds {
		s[i] = string(d.Body)
	}
	return s
}
