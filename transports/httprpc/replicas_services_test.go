//go:build services

package httprpc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	nethttp "net/http"
	"net/url"
	"os"
	"sync"
	"testing"

	"switchboard/applications"
	"switchboard/applications/echo"
	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/store/postgres"
	"switchboard/transports"
	"switchboard/worker"
)

// process is what one process of a fleet has for itself.
func process(t *testing.T, name string) worker.Dependencies {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	amqp, database := os.Getenv("AMQP_URL"), os.Getenv("DATABASE_URL")
	if amqp == "" || database == "" {
		t.Fatal("AMQP_URL and DATABASE_URL are not set; `make test` sets them")
	}
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: amqp, Name: t.Name(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: database, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.Close(context.Background())
		_ = db.Close()
	})
	return worker.Dependencies{Name: name, Kind: worker.KindTransport, Broker: b, State: db, Logger: log}
}

func runWorker(t *testing.T, w worker.Worker) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Two processes serve one transport: RabbitMQ gives the replies to either, and each
// request is answered by the process that holds it, and acknowledged once.
func TestReplicasOnRabbitMQ(t *testing.T) {
	name := "ussd-" + message.NewID()[:8]
	admin := process(t, name)
	t.Cleanup(func() {
		for _, flow := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			_ = admin.Broker.Delete(context.Background(), message.Key(name, flow))
		}
	})
	opts := transports.DefaultOptions()
	opts.TransportName = name
	var replicas []*Transport
	for range 2 {
		tr := New()
		tr.WebHost, tr.TransportName = "127.0.0.1", name
		if err := tr.Validate(); err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, tr)
		runWorker(t, transports.New(process(t, name), opts, tr))
	}
	app := applications.DefaultOptions()
	app.TransportName = name
	env := process(t, name+"-app")
	env.Kind = worker.KindApplication
	acks := make(chan *message.Event, 100)
	ctx, stop := context.WithCancel(t.Context())
	queue := broker.Queue{Name: name + ".watch", Keys: []string{message.Key(name, message.EventFlow)}, Temporary: true}
	if err := admin.Broker.Declare(ctx, broker.Queue{Name: message.Key(name, message.EventFlow), Keys: queue.Keys}); err != nil {
		t.Fatal(err)
	}
	watching := make(chan error, 1)
	go func() {
		watching <- admin.Broker.Consume(ctx, queue, 100, func(d *broker.Delivery) {
			if e, err := message.DecodeEvent(d.Body); err == nil {
				acks <- e
			}
			d.Ack()
		})
	}()
	runWorker(t, applications.New(env, app, echo.New()))

	const many = 40
	client := &nethttp.Transport{}
	defer client.CloseIdleConnections()
	var group sync.WaitGroup
	for i := range many {
		tr := replicas[i%2]
		addr, err := tr.Addr(within(t))
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			text := fmt.Sprint("hello ", i)
			u := fmt.Sprintf("http://%s/?%s", addr, url.Values{"from_addr": {fmt.Sprint("2783", i)}, "to_addr": {"1"}, "content": {text}}.Encode())
			q, _ := nethttp.NewRequestWithContext(within(t), nethttp.MethodGet, u, nil)
			response, err := client.RoundTrip(q)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = response.Body.Close() }()
			if body, _ := io.ReadAll(response.Body); string(body) != text {
				t.Errorf("%q was answered %d %q", text, response.StatusCode, body)
			}
		})
	}
	group.Wait()
	acked := map[string]bool{}
	for len(acked) < many {
		select {
		case e := <-acks:
			if e.Type != message.Ack || acked[e.MessageID] {
				t.Errorf("got %s", e.Encode())
			}
			acked[e.MessageID] = true
		case <-within(t).Done():
			t.Fatalf("%d of %d were acknowledged", len(acked), many)
		}
	}
	stop()
	if err := <-watching; err != nil {
		t.Error(err)
	}
}
