package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/worker"
)

func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		dead   int
		reason string
		told   int
	}{
		"done":                {nil, 0, "", 0},
		"discarded":           {message.Discard("spam"), 0, "", 0},
		"discarded, wrapped":  {fmt.Errorf("rule 3: %w", message.Discard("spam")), 0, "", 0},
		"refused":             {message.Reject("opted out"), 0, "", 1},
		"permanent":           {message.Permanent(errors.New("no such number")), 1, worker.ReasonPermanent, 1},
		"permanent, wrapped":  {fmt.Errorf("sending: %w", message.Permanent(errors.New("no"))), 1, worker.ReasonPermanent, 1},
		"permanent and later": {message.Permanent(message.RetryAfter(time.Hour, errors.New("no"))), 1, worker.ReasonPermanent, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				told := 0
				stop := b.serve(answer(c.err), func(context.Context, *worker.Delivery, error) error { told++; return nil })
				b.publish(1, nil)
				b.settled(name, 0, c.dead)
				for _, d := range b.queue("sms.inbound.dead") {
					if got := d.Headers[worker.HeaderReason]; got != c.reason {
						t.Errorf("reason %q, want %q", got, c.reason)
					}
				}
				if told != c.told {
					t.Errorf("told %d times, want %d", told, c.told)
				}
				stop()
			})
		})
	}
}

func TestRefusalTellsItsReasonAlone(t *testing.T) {
	inBubble(t, func(b *bench) {
		var told error
		stop := b.serve(answer(fmt.Errorf("middleware x: %w", message.Reject("has opted out"))),
			func(_ context.Context, _ *worker.Delivery, reason error) error { told = reason; return nil })
		b.publish(1, nil)
		b.settled("refused", 0, 0)
		if told == nil || told.Error() != "has opted out" {
			t.Errorf("told %v", told)
		}
		stop()
	})
}

// When whoever should know cannot be told, the delivery is not acknowledged.
func TestUntoldItemsComeAgain(t *testing.T) {
	for name, outcome := range map[string]error{"refused": message.Reject("no"), "permanent": message.Permanent(errors.New("no"))} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				var tries atomic.Int32
				stop := b.serve(answer(outcome), func(context.Context, *worker.Delivery, error) error {
					if tries.Add(1) < 3 {
						return errors.New("the broker is away")
					}
					return nil
				})
				b.publish(1, nil)
				synctest.Wait()
				if n := tries.Load(); n != 1 {
					t.Fatalf("tried %d times at once", n)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := tries.Load(); n != 3 {
					t.Errorf("tried %d times, want 3", n)
				}
				stop()
				if n := len(b.queue("sms.inbound")); n != 0 {
					t.Errorf("%d are left", n)
				}
			})
		})
	}
}

func TestRetriesEndInTheDeadLetters(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Settings.MaxAttempts = 4
		var tries []time.Time
		stop := b.serve(func(_ context.Context, d *worker.Delivery) {
			if d.Attempts() != len(tries) || d.Redelivered() != (len(tries) > 0) {
				t.Errorf("try %d: %d attempts, redelivered %v", len(tries), d.Attempts(), d.Redelivered())
			}
			tries = append(tries, time.Now())
			d.Settle(errors.New("the outside is away"))
		}, nil)
		began := time.Now()
		b.publish(1, nil)
		time.Sleep(time.Hour)
		b.settled("after an hour", 0, 1)
		stop()
		if len(tries) != 4 {
			t.Fatalf("tried %d times", len(tries))
		}
		for i, least := range []time.Duration{time.Second, 3 * time.Second, 9 * time.Second} {
			if wait := tries[i+1].Sub(tries[i]); wait < least || wait > 4*least {
				t.Errorf("wait %d was %s, want about %s", i, wait, least)
			}
		}
		h := b.queue("sms.inbound.dead")[0].Headers
		want := broker.Headers{
			worker.HeaderReason: worker.ReasonExhausted, worker.HeaderAttempts: "4", worker.HeaderError: "the outside is away",
			worker.HeaderWorker: "w", worker.HeaderKey: "sms.inbound",
			worker.HeaderFirstFailed: began.UTC().Format(time.RFC3339), worker.HeaderLastFailed: tries[3].UTC().Format(time.RFC3339),
		}
		for name, value := range want {
			if h[name] != value {
				t.Errorf("%s is %q, want %q", name, h[name], value)
			}
		}
	})
}

// What was moved to another queue keeps the time of its first receipt when it fails there.
func TestAFailureKeepsTheTimeOfFirstReceipt(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Settings.MaxAttempts = 2
		came, tries := time.Now().Add(-6*24*time.Hour).UTC(), 0
		stop := b.serve(func(_ context.Context, d *worker.Delivery) {
			if tries++; !d.Since().Equal(came) {
				t.Errorf("try %d: it came first at %s, not %s", tries, d.Since(), came)
			}
			d.Settle(errors.New("the store is away"))
		}, nil)
		m := message.New()
		m.From, m.To = "+27821234567", "12345"
		err := b.broker.Publish(t.Context(), broker.Publication{
			Queue: "sms.inbound", Body: m.Encode(), Headers: broker.Headers{worker.HeaderSince: came.Format(time.RFC3339)},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.settled("after a minute", 0, 1)
		stop()
		if tries != 2 {
			t.Errorf("tried %d times", tries)
		}
		if got := b.queue("sms.inbound.dead")[0].Headers[worker.HeaderSince]; got != came.Format(time.RFC3339) {
			t.Errorf("the dead letter came first at %q", got)
		}
	})
}

func TestRetryAfterIsNotBefore(t *testing.T) {
	inBubble(t, func(b *bench) {
		var tries []time.Time
		stop := b.serve(func(_ context.Context, d *worker.Delivery) {
			tries = append(tries, time.Now())
			if len(tries) == 1 {
				d.Settle(fmt.Errorf("sending: %w", message.RetryAfter(10*time.Minute, errors.New("throttled"))))
				return
			}
			d.Settle(nil)
		}, nil)
		b.publish(1, nil)
		time.Sleep(2 * time.Hour)
		b.settled("later", 0, 0)
		stop()
		if len(tries) != 2 || tries[1].Sub(tries[0]) < 10*time.Minute {
			t.Errorf("tried at %v", tries)
		}
	})
}

// A panic is the end of one message, not of the worker.
func TestPanicsAreIsolated(t *testing.T) {
	inBubble(t, func(b *bench) {
		var handled []string
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.Message.From },
			func(_ context.Context, d *worker.Delivery) error {
				if d.Message.Content == "bomb" {
					panic("boom")
				}
				handled = append(handled, d.ID())
				return nil
			}), nil)
		b.publish(5, func(i int, m *message.Message) {
			if i%2 == 1 {
				m.Content = "bomb"
			}
		})
		b.settled("after two bombs", 0, 2)
		if got := strings.Join(handled, ""); got != "024" {
			t.Errorf("handled %s", got)
		}
		for _, d := range b.queue("sms.inbound.dead") {
			if d.Headers[worker.HeaderReason] != worker.ReasonPanic || !strings.Contains(d.Headers[worker.HeaderError], "boom") {
				t.Errorf("headers %v", d.Headers)
			}
		}
		stop()
	})
}

func TestPanicOfMiddlewareIsIsolated(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Stack = worker.NewStack(worker.Layer{Name: "bad", Middleware: panicking{}})
		n := 0
		stop := b.serve(b.core.Lanes((*worker.Delivery).ID, func(context.Context, *worker.Delivery) error { n++; return nil }), nil)
		b.publish(2, func(i int, m *message.Message) { m.Content = []string{"bomb", "fine"}[i] })
		b.settled("a bomb and a message", 0, 1)
		if n != 1 {
			t.Errorf("%d passed the middleware", n)
		}
		err := b.core.Publish(t.Context(), &message.Envelope{Flow: message.Outbound, Connector: "sms", Message: &message.Message{Content: "bomb"}})
		if _, ok := errors.AsType[*worker.PanicError](err); !ok {
			t.Errorf("publishing: %v", err)
		}
		stop()
	})
}

type panicking struct{}

func (panicking) Wrap(_ message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error {
		if e.Message.Content == "bomb" {
			panic("boom")
		}
		return next(ctx, e)
	}
}

// What is no message is kept word for word, and holds nobody up.
func TestInvalidBodies(t *testing.T) {
	bad := []string{"", "not json", "[]", `{"message_type":"user_message"}`, `{"message_type":"event","message_id":"1"}`, "\xff\xfe", `{"message_id":`}
	inBubble(t, func(b *bench) {
		n, told := 0, 0
		stop := b.serve(func(_ context.Context, d *worker.Delivery) { n++; d.Settle(nil) },
			func(context.Context, *worker.Delivery, error) error { told++; return nil })
		for _, body := range bad {
			b.publishBody([]byte(body))
		}
		b.publish(1, nil)
		b.settled("after rubbish", 0, len(bad))
		if n != 1 || told != 0 {
			t.Errorf("%d handled, %d told", n, told)
		}
		for _, d := range b.queue("sms.inbound.dead") {
			if d.Headers[worker.HeaderReason] != worker.ReasonInvalid || d.Headers[worker.HeaderError] == "" {
				t.Errorf("%q: headers %v", d.Body, d.Headers)
			}
		}
		stop()
	})
}

func TestLongErrorsAreCutShort(t *testing.T) {
	inBubble(t, func(b *bench) {
		stop := b.serve(answer(message.Permanent(errors.New(strings.Repeat("ä", 1<<20)))), nil)
		b.publish(1, nil)
		b.settled("a long error", 0, 1)
		if got := b.queue("sms.inbound.dead")[0].Headers[worker.HeaderError]; len(got) > 1000 || !strings.HasPrefix(got, "ää") {
			t.Errorf("%d bytes", len(got))
		}
		stop()
	})
}

// A person's messages pass one that is tried again, or wait for it; those of others never
// wait. What is held counts its tries, and returns to its queue at a stop.
func TestRetryOrder(t *testing.T) {
	for order, want := range map[worker.RetryOrder]string{worker.Pass: "1 0", worker.Hold: "0 1"} {
		inBubble(t, func(b *bench) {
			b.core.Settings.RetryOrder = order
			var mu sync.Mutex
			var done []string
			tries := 0
			stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.Message.From },
				func(_ context.Context, d *worker.Delivery) error {
					mu.Lock()
					defer mu.Unlock()
					if d.ID() == "0" {
						if tries++; d.Attempts() != tries-1 {
							t.Errorf("%s: try %d says that %d have failed", order, tries, d.Attempts())
						}
						if tries < 3 {
							return errors.New("not yet")
						}
					}
					done = append(done, d.ID())
					return nil
				}), nil)
			b.publish(3, func(i int, m *message.Message) {
				if i == 2 {
					m.From = "+27820000000"
				}
			})
			time.Sleep(time.Minute) // of the test's own clock
			synctest.Wait()
			if slices.Index(done, "2") > slices.Index(done, "0") || strings.Join(slices.DeleteFunc(done, func(id string) bool { return id == "2" }), " ") != want {
				t.Errorf("%s: they were handled as %v, want %s, and 2 before 0", order, done, want)
			}
			stop()
			b.settled(string(order), 0, 0)
		})
	}
	inBubble(t, func(b *bench) {
		b.core.Settings.RetryOrder = worker.Hold
		b.core.Monitor = worker.NewMonitor("w", nil)
		var passed atomic.Int64
		handle := b.core.Lanes(func(d *worker.Delivery) string { return d.Message.From }, func(_ context.Context, d *worker.Delivery) error {
			if d.ID() != "0" {
				passed.Add(1)
				return nil
			}
			return errors.New("never")
		})
		stop := b.serve(handle, nil)
		b.publish(3, nil)           // of one person
		time.Sleep(5 * time.Second) // after the tries at 0, 1 and 4 s, each with a fifth more at most
		if waiting, tries := b.core.Monitor.Retrying(); waiting["sms.inbound"] != 1 || tries["sms.inbound"] != 4 {
			t.Errorf("%v wait for the tries %v", waiting, tries)
		}
		began := time.Now()
		stop()
		b.settled("stopped while it is held", 3, 0)
		if n := passed.Load(); n != 0 {
			t.Errorf("%d passed the one that is held", n)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		stop = b.serve(handle, nil)
		time.Sleep(24 * time.Hour)
		b.settled("tried as often as it may be", 0, 1)
		stop()
	})
}

// A pause returns what is held and all behind it, and the resumed queue is handled in its order.
func TestPauseReturnsWhatIsHeld(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Settings.RetryOrder = worker.Hold
		ctx, end := context.WithCancel(b.t.Context())
		defer end()
		b.core.Pauses = worker.FollowPauses(ctx, b.core.State, slog.New(slog.DiscardHandler))
		var mu sync.Mutex
		var done []string
		fails := true
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.Message.From }, func(_ context.Context, d *worker.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if fails && d.ID() == "0" {
				return errors.New("not yet")
			}
			done = append(done, d.ID())
			return nil
		}), nil)
		b.publish(3, nil) // of one person
		if err := worker.SetPause(b.t.Context(), b.core.State, "sms.inbound", worker.Pause{}); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // of the test's own clock
		b.settled("when it is paused", 3, 0)
		mu.Lock()
		fails = false
		mu.Unlock()
		if err := worker.Resume(b.t.Context(), b.core.State, "sms.inbound"); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.settled("when it is resumed", 0, 0)
		if got := strings.Join(done, " "); got != "0 1 2" {
			b.t.Errorf("handled %s", got)
		}
		stop()
	})
}

// losing is a broker whose first two deliveries are lost once lose is set.
type losing struct {
	broker.Broker
	lose atomic.Bool
}

func (l *losing) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	n := 0
	return l.Broker.ConsumeWithin(ctx, q, limit, func(d *broker.Delivery) {
		if n++; n <= 2 {
			d.Lost = l.lose.Load
		}
		handle(d)
	})
}

// What waits for its next try is given up soon after its delivery is lost, with all behind it:
// their copies are handled in their order.
func TestHeldDeliveryThatIsLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		l := &losing{Broker: b.broker}
		b.core.Broker = l
		b.core.Settings.RetryOrder, b.core.Settings.RetryInitialDelay = worker.Hold, seconds(300)
		var mu sync.Mutex
		var tried []string
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.Message.From }, func(_ context.Context, d *worker.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if tried = append(tried, d.ID()); len(tried) == 1 {
				return errors.New("not yet")
			}
			return nil
		}), nil)
		b.publish(2, nil) // of one person
		synctest.Wait()
		l.lose.Store(true)
		time.Sleep(5 * time.Second) // of the test's own clock
		b.settled("the copies", 0, 0)
		if got := strings.Join(tried, " "); got != "0 0 1" {
			b.t.Errorf("tried %s", got)
		}
		stop()
	})
}
