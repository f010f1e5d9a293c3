package worker_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/worker"
)

// Lanes: what has one key stays in order, what has another does not wait.
func TestLanesKeepOrderAndDoNotWait(t *testing.T) {
	inBubble(t, func(b *bench) {
		const people, each = 5, 40
		b.core.Settings.Prefetch = people * each
		blocked := make(chan struct{})
		handled := make(chan *worker.Delivery, people*each)
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.Message.From },
			func(_ context.Context, d *worker.Delivery) error {
				if d.Message.From == "0" {
					<-blocked
				}
				handled <- d
				return nil
			}), nil)
		b.publish(people*each, func(i int, m *message.Message) { m.From = fmt.Sprint(i % people) })
		b.settled("while one person's messages wait", 0, 0)
		if n := len(handled); n != (people-1)*each {
			t.Fatalf("%d were handled while one lane waits, want %d", n, (people-1)*each)
		}
		close(blocked)
		synctest.Wait()
		close(handled)
		next := map[string]int{}
		for d := range handled {
			from := d.Message.From
			want := next[from]*people + int(from[0]-'0')
			if next[from]++; d.ID() != fmt.Sprint(want) {
				t.Fatalf("person %s: got %s, want %d", from, d.ID(), want)
			}
		}
		stop()
	})
}

// A stop waits for what is in flight, receives nothing new, and leaves the rest to
// the next worker.
func TestStopFinishesWhatIsInHand(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Settings.Prefetch = 3
		release := make(chan struct{})
		var second []string
		taken := make(chan string, 8)
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.ID() },
			func(_ context.Context, d *worker.Delivery) error {
				taken <- d.ID()
				<-release
				return nil
			}), nil)
		b.publish(8, nil)
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		time.Sleep(5 * time.Second)
		select {
		case <-stopped:
			t.Fatal("it stopped with messages in flight")
		default:
		}
		close(release)
		<-stopped
		b.settled("after the stop", 5, 0)
		stop = b.serve(func(_ context.Context, d *worker.Delivery) {
			if d.Redelivered() {
				t.Errorf("message %s was handed out before", d.ID())
			}
			second = append(second, d.ID())
			d.Settle(nil)
		}, nil)
		synctest.Wait()
		stop()
		close(taken)
		first := slices.Sorted(all(taken))
		if fmt.Sprint(first) != "[0 1 2]" || fmt.Sprint(second) != "[3 4 5 6 7]" {
			t.Errorf("the first handled %v, the second %v", first, second)
		}
	})
}

// all reads a closed channel.
func all[V any](from <-chan V) iter.Seq[V] {
	return func(yield func(V) bool) {
		for v := range from {
			if !yield(v) {
				return
			}
		}
	}
}

// When stop_timeout is over, handlers lose their context and what they had
// comes again, known as redelivered.
func TestStopTimeoutGivesBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Settings.StopTimeout = seconds(7)
		b.ends = worker.ErrStopTimeout
		began := make(chan time.Time, 1)
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.ID() },
			func(ctx context.Context, _ *worker.Delivery) error {
				<-ctx.Done()
				began <- time.Now()
				return ctx.Err()
			}), nil)
		b.publish(1, nil)
		synctest.Wait()
		stopping := time.Now()
		stop()
		if waited := (<-began).Sub(stopping); waited != 7*time.Second {
			t.Errorf("the handler's context ended after %s", waited)
		}
		b.settled("after the stop", 1, 0)
		b.ends = nil
		again := false
		stop = b.serve(func(_ context.Context, d *worker.Delivery) {
			again = d.Redelivered()
			d.Settle(nil)
		}, nil)
		synctest.Wait()
		stop()
		if !again {
			t.Error("it came again as if it were new, or not at all")
		}
	})
}

// A handler that notices nothing cannot keep the process from stopping.
func TestStopDoesNotWaitForEver(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Settings.StopTimeout = seconds(1)
		b.ends = worker.ErrStopTimeout
		deaf := make(chan struct{})
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.ID() },
			func(context.Context, *worker.Delivery) error { <-deaf; return nil }), nil)
		b.publish(1, nil)
		synctest.Wait()
		stopping := time.Now()
		stop()
		if waited := time.Since(stopping); waited > 10*time.Second {
			t.Errorf("it took %s", waited)
		}
		close(deaf)
	})
}

// A lost connection requeues what is in flight; the late outcome of the first
// handling changes nothing.
func TestLostConnectionRedelivers(t *testing.T) {
	inBubble(t, func(b *bench) {
		release := make(chan struct{})
		redelivered := make(chan bool, 3)
		stop := b.serve(b.core.Lanes(func(d *worker.Delivery) string { return d.ID() + fmt.Sprint(d.Redelivered()) },
			func(_ context.Context, d *worker.Delivery) error {
				redelivered <- d.Redelivered()
				if !d.Redelivered() {
					<-release
				}
				return nil
			}), nil)
		b.publish(1, nil)
		synctest.Wait()
		b.broker.Cut()
		b.settled("after the cut", 0, 0)
		close(release)
		stop()
		b.settled("at the end", 0, 0)
		close(redelivered)
		if got := slices.Collect(all(redelivered)); fmt.Sprint(got) != "[false true]" {
			t.Errorf("handled with redelivered %v", got)
		}
	})
}

// A stop does not wait for a link that is down: what waits for it returns to its
// queue at once, and that is no error.
func TestStopDoesNotWaitForALinkThatIsDown(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Monitor = worker.NewMonitor("w", nil)
		b.core.Monitor.Report(worker.DependsOnLink, "smpp", message.Down, "connection refused")
		stop := b.serve(b.core.Lanes((*worker.Delivery).ID, func(ctx context.Context, _ *worker.Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		}), nil)
		b.publish(3, nil)
		synctest.Wait()
		if held := b.core.Monitor.Held(); held["sms.inbound"] != 3 {
			t.Errorf("holds %v", held)
		}
		stopping := time.Now()
		stop()
		if took := time.Since(stopping); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		b.settled("after the stop", 3, 0)
		if held := b.core.Monitor.Held(); len(held) != 0 {
			t.Errorf("holds %v", held)
		}
	})
}

// alarmed is a broker that takes nothing, as RabbitMQ in alarm.
type alarmed struct{ *memory.Broker }

func (alarmed) Publish(ctx context.Context, _ broker.Publication) error {
	<-ctx.Done()
	return ctx.Err()
}

// A broker that accepts no publications does not keep a worker from stopping:
// neither what answers, nor what is to be tried again or dead-lettered, waits for
// longer than stop_timeout.
func TestStopWhileTheBrokerIsInAlarm(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Broker = alarmed{b.broker}
		b.core.Settings.StopTimeout = seconds(7)
		b.ends = worker.ErrStopTimeout
		outcomes := []error{nil, errors.New("later"), message.Permanent(errors.New("never"))}
		stop := b.serve(b.core.Lanes((*worker.Delivery).ID, func(ctx context.Context, d *worker.Delivery) error {
			if d.ID() == "0" {
				return b.core.Publish(ctx, &message.Envelope{Flow: message.Outbound, Connector: "sms", Message: d.Message})
			}
			return outcomes[int(d.ID()[0]-'0')]
		}), nil)
		b.publish(3, nil)
		synctest.Wait()
		stopping := time.Now()
		stop()
		if took := time.Since(stopping); took > 10*time.Second {
			t.Errorf("the stop took %s", took)
		}
		b.settled("after the stop", 3, 0)
	})
}
