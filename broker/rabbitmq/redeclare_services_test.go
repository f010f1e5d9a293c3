//go:build services

package rabbitmq_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// TestWhatIsDeletedIsDeclaredAgain publishes after a queue or a binding was deleted
// under the publisher: everything arrives, in order, and the deletion is reported.
func TestWhatIsDeletedIsDeclaredAgain(t *testing.T) {
	for name, remove := range map[string]func(t *testing.T, q broker.Queue){
		"binding": func(t *testing.T, q broker.Queue) {
			must(t, rawChannel(t).QueueUnbind(q.Name, q.Keys[0], broker.Exchange, nil))
		},
		"queue": func(t *testing.T, q broker.Queue) {
			_, err := rawChannel(t).QueueDelete(q.Name, false, false, false)
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var logged logBuffer
			registry := prometheus.NewRegistry()
			b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t), Logger: slog.New(slog.NewTextHandler(&logged, nil)), Metrics: registry})
			ctx := testContext(t)
			q := newQueue(t, "redeclared."+rand.Text())
			must(t, b.Declare(ctx, q))
			must(t, b.Publish(ctx, broker.Publication{Key: q.Keys[0], Body: []byte("0")}))
			remove(t, q)
			const n = 100
			results := make(chan error, n)
			for i := range n {
				b.PublishAsync(ctx, broker.Publication{Key: q.Keys[0], Body: fmt.Append(nil, i+1)}, func(err error) { results <- err })
			}
			testutil.Eventually(t, "the state names the key", func() bool { return b.State().Unroutable == q.Keys[0] || len(results) > 0 })
			for range n {
				must(t, <-results)
			}
			if key := b.State().Unroutable; key != "" {
				t.Errorf("after declaring again the state still names %q", key)
			}
			last := 0
			must(t, b.Browse(ctx, q.Name, n+1, func(d *broker.Delivery) (broker.Verdict, error) {
				var i int
				_, err := fmt.Sscan(string(d.Body), &i)
				if i < last {
					t.Errorf("%d came after %d", i, last)
				}
				last = i
				return broker.Keep, err
			}))
			if last != n {
				t.Errorf("the last one is %d, want %d", last, n)
			}
			if !strings.Contains(logged.String(), "declaring everything again") || !strings.Contains(logged.String(), q.Keys[0]) {
				t.Errorf("the log says %s", logged.String())
			}
			if n := gather(t, registry)["switchboard_broker_redeclarations_total"]; n < 1 {
				t.Errorf("declared again %v times", n)
			}
		})
	}
}

// TestUnknownKeysAreUnroutable: nobody declared a queue for the key, so nothing is
// declared again, and the process stays ready.
func TestUnknownKeysAreUnroutable(t *testing.T) {
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	if err := b.Publish(testContext(t), broker.Publication{Key: "nobody." + rand.Text()}); !errors.Is(err, broker.ErrUnroutable) {
		t.Error(err)
	}
	if key := b.State().Unroutable; key != "" {
		t.Errorf("the state names %q", key)
	}
}

// TestDeletedExchange: publishing to an exchange that is gone closes the channel.
func TestDeletedExchange(t *testing.T) {
	server := newServer(t)
	b := openClosed(t, rabbitmq.Settings{URL: server.url})
	ctx := testContext(t)
	q := broker.Queue{Name: "q", Keys: []string{"key"}}
	must(t, b.Declare(ctx, q))
	conn, err := amqp.Dial(server.url)
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	must(t, ch.ExchangeDelete(broker.Exchange, false, false))
	for i := range 10 {
		must(t, b.Publish(ctx, broker.Publication{Key: "key", Body: fmt.Append(nil, i)}))
	}
	info, err := b.Inspect(ctx, q.Name)
	must(t, err)
	if info.Messages != 10 {
		t.Errorf("%d of 10 have arrived", info.Messages)
	}
}

// TestLostConfirmsMarkTheSecondCopy loses the confirm of a body that RabbitMQ has.
func TestLostConfirmsMarkTheSecondCopy(t *testing.T) {
	p := newProxy(t)
	b := openClosed(t, rabbitmq.Settings{URL: p.url})
	q := newQueue(t)
	ctx := testContext(t)
	must(t, b.Publish(ctx, broker.Publication{Queue: q.Name, Body: []byte("first")}))
	p.HoldAnswers(true)
	result := make(chan error, 1)
	go func() {
		result <- b.Publish(ctx, broker.Publication{Queue: q.Name, Body: []byte("twice"), Headers: broker.Headers{"h": "v"}})
	}()
	direct := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	testutil.Eventually(t, "RabbitMQ has the body", func() bool {
		info, err := direct.Inspect(ctx, q.Name)
		must(t, err)
		return info.Messages == 2
	})
	p.Cut()
	p.HoldAnswers(false)
	must(t, <-result)
	var copies []broker.Delivery
	consuming, stop := context.WithCancel(ctx)
	must(t, direct.Consume(consuming, q, 10, func(d *broker.Delivery) {
		d.Ack()
		if copies = append(copies, *d); len(copies) == 3 {
			stop()
		}
	}))
	for i, again := range []bool{false, false, true} {
		if copies[i].Redelivered != again || len(copies[i].Headers) != min(i, 1) {
			t.Errorf("copy %d: redelivered %v, headers %v", i, copies[i].Redelivered, copies[i].Headers)
		}
	}
}

// TestWrongVhostSaysSo: an operator learns what to correct.
func TestWrongVhostSaysSo(t *testing.T) {
	u, err := url.Parse(amqpURL(t))
	must(t, err)
	u.Path = "/nosuch"
	b := openClosed(t, rabbitmq.Settings{URL: u.String()})
	testutil.Eventually(t, "the state names the vhost", func() bool {
		err := b.State().LastError
		return err != nil && strings.Contains(err.Error(), `vhost "nosuch"`) && strings.Contains(err.Error(), "add_vhost")
	})
}

// TestDeclaringAgainIsCheap: every dead letter declares its queue.
func TestDeclaringAgainIsCheap(t *testing.T) {
	p := newProxy(t)
	b := openClosed(t, rabbitmq.Settings{URL: p.url})
	q := newQueue(t)
	ctx := testContext(t)
	must(t, b.Declare(ctx, q))
	p.HoldAnswers(true)
	defer p.HoldAnswers(false)
	for range 1000 {
		must(t, b.Declare(ctx, q))
	}
}
