//go:build services

package rabbitmq_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// TestLargeBodiesMoveToTheDeadLetters: no consumer receives a body over broker.MaxBody. It
// becomes a dead letter, whole, once, also where the connection breaks meanwhile or the dead
// letters' queue is deleted. Those before and behind it come.
func TestLargeBodiesMoveToTheDeadLetters(t *testing.T) {
	for name, broken := range map[string]func(t *testing.T, p *proxy, b *rabbitmq.Broker, dead string){
		"undisturbed": func(*testing.T, *proxy, *rabbitmq.Broker, string) {},
		"cut":         func(_ *testing.T, p *proxy, _ *rabbitmq.Broker, _ string) { p.Cut() },
		"returned": func(t *testing.T, _ *proxy, _ *rabbitmq.Broker, dead string) {
			_, err := rawChannel(t).QueueDelete(dead, false, false, false)
			must(t, err)
		},
	} {
		for _, kind := range []broker.QueueType{broker.Classic, broker.Quorum} {
			if kind == broker.Quorum && name != "undisturbed" {
				continue
			}
			t.Run(name+" "+string(kind), func(t *testing.T) {
				ctx := testContext(t)
				direct := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
				q := broker.Queue{Name: "rabbitmqtest." + rand.Text(), Type: kind}
				dead := broker.Queue{Name: q.Name + broker.DeadSuffix, Type: kind}
				must(t, direct.Declare(ctx, q))
				t.Cleanup(func() {
					for _, queue := range []string{q.Name, dead.Name} {
						must(t, openClosed(t, rabbitmq.Settings{URL: amqpURL(t)}).Delete(context.Background(), queue))
					}
				})
				large := make([]byte, broker.MaxBody+1)
				_, err := rand.Read(large)
				must(t, err)
				for _, body := range [][]byte{[]byte("a"), []byte("b"), large, []byte("c")} {
					must(t, direct.Publish(ctx, broker.Publication{Queue: q.Name, Body: body}))
				}

				p := newProxy(t)
				var attempts atomic.Int64
				var b *rabbitmq.Broker
				b = openClosed(t, rabbitmq.Settings{
					URL: p.url,
					DeadLetter: func(d *broker.Delivery, size uint64) broker.Headers {
						if d.Queue != q.Name || size != uint64(len(large)) {
							t.Errorf("%d bytes of %s", size, d.Queue)
						}
						if attempts.Add(1) == 1 {
							broken(t, p, b, dead.Name)
						}
						return broker.Headers{"why": "large"}
					},
				})
				consuming, stop := context.WithCancel(ctx)
				var held []*broker.Delivery
				settled := ""
				must(t, b.Consume(consuming, q, 10, func(d *broker.Delivery) {
					if len(d.Body) != 1 {
						t.Errorf("a consumer received %d bytes", len(d.Body))
					}
					if d.Body[0] == 'a' && !d.Redelivered { // it is unsettled when the connection ends
						held = append(held, d)
						return
					}
					settled += string(d.Body)
					d.Ack()
					if strings.Contains(settled, "a") && strings.Contains(settled, "b") && strings.Contains(settled, "c") {
						stop()
						for _, d := range held { // Consume waits for them
							d.Ack()
						}
					}
				}))
				must(t, direct.Browse(ctx, dead.Name, 10, func(d *broker.Delivery) (broker.Verdict, error) {
					if large == nil {
						t.Error("it was moved twice")
					}
					if !bytes.Equal(d.Body, large) || d.Headers["why"] != "large" {
						t.Errorf("%d bytes with %v", len(d.Body), d.Headers)
					}
					large = nil
					return broker.Keep, nil
				}))
				if large != nil || attempts.Load() == 1 != (name == "undisturbed") {
					t.Errorf("the large body is gone, or took %d attempts", attempts.Load())
				}
			})
		}
	}
}

// TestALargeBodyThatCannotMove: the consumer of another queue goes on. That of its own queue
// receives it, if the process has the memory.
func TestALargeBodyThatCannotMove(t *testing.T) {
	for name, memory := range map[string]int64{"fits": 1 << 30, "does not fit": 4*broker.MaxBody + 4} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			direct := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
			q, other := newQueue(t), newQueue(t)
			dead := broker.Queue{Name: q.Name + broker.DeadSuffix, Type: broker.Quorum} // of another type
			for _, queue := range []broker.Queue{q, other, dead} {
				must(t, direct.Declare(ctx, queue))
			}
			t.Cleanup(func() {
				must(t, openClosed(t, rabbitmq.Settings{URL: amqpURL(t)}).Delete(context.Background(), dead.Name))
			})
			for _, body := range [][]byte{make([]byte, broker.MaxBody+2), []byte("behind")} {
				must(t, direct.Publish(ctx, broker.Publication{Queue: q.Name, Body: body}))
			}

			defer debug.SetMemoryLimit(debug.SetMemoryLimit(memory))
			logged := new(logBuffer)
			b := openClosed(t, rabbitmq.Settings{
				URL: amqpURL(t), Logger: slog.New(slog.NewTextHandler(logged, nil)),
				DeadLetter: func(*broker.Delivery, uint64) broker.Headers { return nil },
			})
			consuming, stop := context.WithCancel(ctx)
			var ended sync.WaitGroup
			var received atomic.Int64 // from q
			ended.Go(func() {
				must(t, b.Consume(consuming, q, 10, func(d *broker.Delivery) {
					received.Add(1)
					d.Ack()
				}))
			})
			testutil.Eventually(t, "moving it fails", func() bool { return strings.Contains(logged.String(), "cannot be moved") })
			came := make(chan bool, 10)
			ended.Go(func() {
				must(t, b.Consume(consuming, other, 10, func(d *broker.Delivery) {
					came <- true
					d.Ack()
				}))
			})
			publish := func() {
				must(t, direct.Publish(ctx, broker.Publication{Queue: other.Name, Body: []byte("x")}))
				<-came
			}
			publish()
			reconnects := b.State().Reconnects
			if name == "fits" {
				testutil.Eventually(t, "it is received", func() bool { return received.Load() >= 2 })
			} else if !slices.Equal(b.State().Idle, []string{q.Name}) || received.Load() > 0 {
				t.Errorf("not consumed are %v, %d were received", b.State().Idle, received.Load())
			}
			publish()
			if n := b.State().Reconnects; n != reconnects {
				t.Errorf("connected again %d times", n-reconnects)
			}
			if !strings.Contains(logged.String(), dead.Name) {
				t.Errorf("the log does not say why:\n%s", logged)
			}
			stop()
			ended.Wait()
		})
	}
}

// TestBrowsingALargeBody: whoever consumes at the same time keeps the connection.
func TestBrowsingALargeBody(t *testing.T) {
	ctx := testContext(t)
	q, dead := newQueue(t), newQueue(t)
	large := make([]byte, broker.MaxBody+1)
	must(t, openClosed(t, rabbitmq.Settings{URL: amqpURL(t)}).Publish(ctx, broker.Publication{Queue: dead.Name, Body: large}))
	b := openClosed(t, rabbitmq.Settings{
		URL:        amqpURL(t),
		DeadLetter: func(*broker.Delivery, uint64) broker.Headers { return nil },
	})
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	came := make(chan bool, 10)
	go b.Consume(consuming, q, 10, func(d *broker.Delivery) {
		d.Ack()
		came <- true
	})
	publish := func() {
		must(t, b.Publish(ctx, broker.Publication{Queue: q.Name, Body: []byte("x")}))
		<-came
	}
	publish()
	var size int
	browse := func() error {
		return b.Browse(ctx, dead.Name, 1, func(d *broker.Delivery) (broker.Verdict, error) {
			size = len(d.Body)
			return broker.Keep, nil
		})
	}
	must(t, browse())
	if size != len(large) {
		t.Errorf("browsing shows %d bytes", size)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(4 * broker.MaxBody))
	err := browse()
	if !errors.Is(err, broker.ErrLost) || !strings.Contains(err.Error(), strconv.Itoa(len(large))+" bytes") {
		t.Errorf("browsing with little memory: %v", err)
	}
	publish()
	if n := b.State().Reconnects; n != 0 {
		t.Errorf("connected again %d times", n)
	}
}
