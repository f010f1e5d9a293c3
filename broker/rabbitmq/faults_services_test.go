//go:build services

package rabbitmq_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

const patience = 30 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func openClosed(t testing.TB, s rabbitmq.Settings) *rabbitmq.Broker {
	t.Helper()
	b := open(t, s)
	t.Cleanup(func() { must(t, b.Close(testContext(t))) })
	return b
}

// newQueue makes a queue that is deleted after the test.
func newQueue(t testing.TB, keys ...string) broker.Queue {
	t.Helper()
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	q := broker.Queue{Name: "rabbitmqtest." + rand.Text(), Keys: keys}
	must(t, b.Declare(testContext(t), q))
	t.Cleanup(func() { must(t, b.Delete(testContext(t), q.Name)) })
	return q
}

// rawChannel is a channel of the client library, to do what another program would.
func rawChannel(t testing.TB) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(amqpURL(t))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	must(t, err)
	return ch
}

// logBuffer is a log that several goroutines write and a test reads.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestOpenBeforeRabbitMQ(t *testing.T) {
	p := newProxy(t)
	p.Refuse(true)
	b := openClosed(t, rabbitmq.Settings{URL: p.url})
	testutil.Eventually(t, "the state says why", func() bool { st := b.State(); return !st.Connected && st.LastError != nil })
	q := newQueue(t)
	result := make(chan error, 1)
	go func() { result <- b.Publish(testContext(t), broker.Publication{Queue: q.Name, Body: []byte("early")}) }()
	p.Refuse(false)
	must(t, <-result)
	testutil.Eventually(t, "connected", func() bool { return b.State().Connected })
	if st := b.State(); st.LastError != nil || st.Reconnects != 0 {
		t.Fatalf("state %+v", st)
	}
}

func TestRefusedLogin(t *testing.T) {
	u, err := url.Parse(amqpURL(t))
	must(t, err)
	u.User = url.UserPassword(u.User.Username(), "sEcret-and-wrong")
	var logged logBuffer
	b := openClosed(t, rabbitmq.Settings{URL: u.String(), Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	err = b.Consume(testContext(t), broker.Queue{Name: "any"}, 1, func(*broker.Delivery) {})
	if err == nil || !strings.Contains(err.Error(), "refuses the login") {
		t.Fatalf("consuming: %v", err)
	}
	if st := b.State(); st.Connected || st.LastError == nil || !strings.Contains(st.LastError.Error()+err.Error(), "login") {
		t.Errorf("state %+v", st)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = b.Publish(ctx, broker.Publication{Key: "any"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publishing: %v, want to wait", err)
	}
	if !strings.Contains(logged.String(), "refuses the login") {
		t.Error("the log does not tell")
	}
	if strings.Contains(logged.String()+err.Error(), "sEcret") {
		t.Error("the password is shown")
	}
}

// TestTooLarge: RabbitMQ closes the channel for a body over its limit (128 MiB
// up to 3.x, 16 MiB from 4.0). That body alone fails, for good; those around it
// arrive.
func TestTooLarge(t *testing.T) {
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	q := newQueue(t)
	ctx := testContext(t)
	large := broker.Publication{Queue: q.Name, Body: make([]byte, 128<<20+1)}
	small := broker.Publication{Queue: q.Name, Body: []byte("small")}
	results := make([]chan error, 20)
	for i := range results {
		results[i] = make(chan error, 1)
		p := small
		if i == len(results)/2 {
			p = large
		}
		go func() { results[i] <- b.Publish(ctx, p) }()
	}
	for i, r := range results {
		err := <-r
		if i != len(results)/2 {
			must(t, err)
			continue
		}
		if !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), "max_message_size") {
			t.Errorf("the large one got %v", err)
		}
	}
	if st := b.State(); st.Reconnects != 0 {
		t.Errorf("%d reconnects for one body", st.Reconnects)
	}
}

// TestForgottenQueues: RabbitMQ comes back without its queues, and what was
// declared is there again before anything is published.
func TestForgottenQueues(t *testing.T) {
	p := newProxy(t)
	b := openClosed(t, rabbitmq.Settings{URL: p.url})
	ctx := testContext(t)
	stays, taken := rand.Text(), rand.Text()
	q := broker.Queue{Name: "rabbitmqtest." + rand.Text(), Keys: []string{stays, taken}}
	must(t, b.Declare(ctx, q))
	defer b.Delete(ctx, q.Name)
	must(t, b.Unbind(ctx, q.Name, taken))
	p.Refuse(true)
	testutil.Eventually(t, "the loss is noticed", func() bool { return !b.State().Connected })
	_, err := rawChannel(t).QueueDelete(q.Name, false, false, false)
	must(t, err)
	p.Refuse(false)
	must(t, b.Publish(ctx, broker.Publication{Key: stays, Body: []byte("x")}))
	if err := b.Publish(ctx, broker.Publication{Key: taken}); !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("the binding that was taken away is back: %v", err)
	}
}

// TestForgottenDelayExchange: someone deletes an exchange under a running fleet.
// That of a delay is taken, to leave other tests alone.
func TestForgottenDelayExchange(t *testing.T) {
	const step = "switchboard.delay.86400s"
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	q := newQueue(t)
	ctx := testContext(t)
	p := broker.Publication{Queue: q.Name, Delay: 23 * time.Hour}
	must(t, b.Publish(ctx, p))
	ch := rawChannel(t)
	must(t, ch.ExchangeDelete(step, false, false))
	must(t, b.Publish(ctx, p))
	left, err := ch.QueuePurge(step, false)
	must(t, err)
	if left != 2 {
		t.Errorf("%d bodies wait, want 2", left)
	}
}

// TestCloseWithoutRabbitMQ must not wait for a broker that is not there.
func TestCloseWithoutRabbitMQ(t *testing.T) {
	p := newProxy(t)
	p.Refuse(true)
	b := open(t, rabbitmq.Settings{URL: p.url})
	began := time.Now()
	must(t, b.Close(testContext(t)))
	must(t, b.Close(testContext(t)))
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
}

// TestCloseInBlackHole is bounded by its context and the closing handshake.
func TestCloseInBlackHole(t *testing.T) {
	p := newProxy(t)
	b := open(t, rabbitmq.Settings{URL: p.url})
	q := newQueue(t)
	must(t, b.Publish(testContext(t), broker.Publication{Queue: q.Name}))
	p.BlackHole(true)
	result := make(chan error, 1)
	b.PublishAsync(testContext(t), broker.Publication{Queue: q.Name}, func(err error) { result <- err })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closing: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if err := <-result; !errors.Is(err, broker.ErrLost) {
		t.Errorf("the outstanding publication got %v", err)
	}
}

// TestTemporaryQueueComesBack with the connection, although RabbitMQ may not have
// noticed yet that the old one is gone, and then takes the queue for another's.
func TestTemporaryQueueComesBack(t *testing.T) {
	p := newProxy(t)
	b := openClosed(t, rabbitmq.Settings{URL: p.url, Heartbeat: time.Second})
	durable := newQueue(t, "key."+rand.Text())
	looking := broker.Queue{Name: "rabbitmqtest." + rand.Text(), Keys: durable.Keys, Temporary: true}
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	seen, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, looking, 10, func(d *broker.Delivery) {
			d.Ack()
			seen <- string(d.Body)
		})
	}()
	other := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	awaitConsumer := func() {
		testutil.Eventually(t, "it looks on", func() bool {
			select {
			case err := <-ended:
				t.Fatalf("ended: %v", err)
			default:
			}
			info, err := b.Inspect(ctx, looking.Name) // others may not: it is exclusive
			return err == nil && info.Consumers == 1
		})
	}
	awaitConsumer()
	p.Cut()
	testutil.Eventually(t, "the cut is noticed", func() bool { return b.State().Reconnects > 0 })
	awaitConsumer()
	testutil.Eventually(t, "a body is seen", func() bool {
		must(t, other.Publish(ctx, broker.Publication{Key: durable.Keys[0], Body: []byte("x")}))
		return len(seen) > 0
	})
	stop()
	must(t, <-ended)
}

// TestLostDelivery: whoever holds a delivery can see that the broker delivers it again.
func TestLostDelivery(t *testing.T) {
	p := newProxy(t)
	b := openClosed(t, rabbitmq.Settings{URL: p.url, Heartbeat: time.Second})
	q := newQueue(t)
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	must(t, b.Declare(ctx, q))
	must(t, b.Publish(ctx, broker.Publication{Queue: q.Name, Body: []byte("x")}))
	received, ended := make(chan *broker.Delivery, 2), make(chan error, 1)
	go func() { ended <- b.Consume(ctx, q, 10, func(d *broker.Delivery) { received <- d }) }()
	first := <-received
	if first.Lost() {
		t.Error("it is lost before the cut")
	}
	p.Cut()
	second := <-received
	if !first.Lost() || second.Lost() {
		t.Errorf("lost: the first %v, the second %v", first.Lost(), second.Lost())
	}
	first.Ack()
	second.Ack()
	stop()
	must(t, <-ended)
}

// Who gives up while RabbitMQ answers is not written to by the answer: the race detector sees it.
func TestGivenUpWhileItAnswers(t *testing.T) {
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	q := newQueue(t)
	must(t, b.Declare(testContext(t), q))
	for after := time.Duration(0); after < 3*time.Millisecond; after += 10 * time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, _ = b.Inspect(ctx, q.Name)
		_, _ = b.Purge(ctx, q.Name)
		cancel()
	}
	info, err := b.Inspect(testContext(t), q.Name)
	must(t, err)
	if info.Messages != 0 {
		t.Errorf("the queue has %+v", info)
	}
}
