package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDelayToTheMoment runs an hour's delay in no time, and shows that nothing
// is left running after Close: synctest fails otherwise.
func TestDelayToTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := memory.New(memory.Settings{})
		q := broker.Queue{Name: "q"}
		must(t, b.Declare(ctx, q))
		began := time.Now()
		must(t, b.Publish(ctx, broker.Publication{Queue: "q", Delay: time.Hour}))
		must(t, b.Publish(ctx, broker.Publication{Queue: "q", Delay: 2 * time.Hour}))
		must(t, b.Consume(ctx, q, 1, func(d *broker.Delivery) {
			d.Ack()
			stop()
		}))
		if took := time.Since(began); took != time.Hour {
			t.Fatalf("came after %v", took)
		}
		must(t, b.Close(context.Background()))
	})
}

// TestDelaysOutliveConnections closes the last connection while a body is delayed.
func TestDelaysOutliveConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Settings{})
		must(t, b.Declare(t.Context(), broker.Queue{Name: "q"}))
		must(t, b.Publish(t.Context(), broker.Publication{Queue: "q", Delay: time.Minute}))
		must(t, b.Close(t.Context()))
		time.Sleep(time.Hour)
		again := b.Connect()
		synctest.Wait()
		info, err := again.Inspect(t.Context(), "q")
		must(t, err)
		if info.Messages != 1 {
			t.Fatal("the delayed body is gone")
		}
		must(t, again.Close(t.Context()))
	})
}

func TestFullQueuesHoldPublishersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Settings{MaxBytes: 1000})
		q := broker.Queue{Name: "q"}
		must(t, b.Declare(t.Context(), q))
		p := broker.Publication{Queue: "q", Body: make([]byte, 500)}
		must(t, b.Publish(t.Context(), p))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Publish(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want to wait until the context ends", err)
		}
		result := make(chan error, 1)
		go func() { result <- b.Publish(t.Context(), p) }()
		synctest.Wait()
		if b.State().Blocked == "" {
			t.Error("the state does not say why publishing waits")
		}
		if _, err := b.Purge(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		must(t, <-result)
		if b.State().Blocked != "" {
			t.Error("still blocked")
		}

		go func() { result <- b.Publish(t.Context(), p) }()
		synctest.Wait()
		must(t, b.Close(t.Context()))
		if err := <-result; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("a waiting publisher got %v, want ErrClosed", err)
		}
	})
}

func TestTooLargeForAllQueues(t *testing.T) {
	b := memory.New(memory.Settings{MaxBytes: 1000})
	defer b.Close(t.Context())
	must(t, b.Declare(t.Context(), broker.Queue{Name: "q"}))
	err := b.Publish(t.Context(), broker.Publication{Queue: "q", Body: make([]byte, 1000)})
	if !errors.Is(err, broker.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
}

func TestPublishWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 3
		b := memory.New(memory.Settings{PublishWindow: window})
		must(t, b.Declare(t.Context(), broker.Queue{Name: "q"}))
		hold, results := make(chan struct{}), make(chan error, window+1)
		for range window {
			b.PublishAsync(t.Context(), broker.Publication{Queue: "q"}, func(err error) {
				<-hold
				results <- err
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b.PublishAsync(ctx, broker.Publication{Queue: "q"}, func(err error) { results <- err })
		close(hold)
		for range window {
			must(t, <-results)
		}
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("one more than the window got %v", err)
		}
		must(t, b.Close(t.Context()))
	})
}

// BenchmarkHop is a body's way from a publisher through a queue to a consumer
// that acknowledges it.
func BenchmarkHop(b *testing.B) {
	m := memory.New(memory.Settings{})
	defer m.Close(b.Context())
	q := broker.Queue{Name: "q", Keys: []string{"key"}}
	must(b, m.Declare(b.Context(), q))
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	body, seen, ended := make([]byte, 700), 0, make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		ended <- m.Consume(ctx, q, 1000, func(d *broker.Delivery) {
			d.Ack()
			if seen++; seen == b.N {
				stop()
			}
		})
	}()
	for range b.N {
		m.PublishAsync(b.Context(), broker.Publication{Key: "key", Body: body}, func(error) {})
	}
	must(b, <-ended)
}
