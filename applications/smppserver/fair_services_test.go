//go:build services

package smppserver

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/store/postgres"
	"switchboard/worker"
)

// crowd is a server on RabbitMQ and PostgreSQL, with customers acme and other.
type crowd struct {
	*bundle
	mq   *rabbitmq.Broker
	name string // of the connector
}

// databaseDelay is what a database under load takes for a statement.
const databaseDelay = 500 * time.Millisecond

// servicesPatience is for machines that are slow, and busy with other tests.
const servicesPatience = 2 * time.Minute

func startCrowd(t *testing.T, opts ...func(*Application)) *crowd {
	t.Helper()
	for _, name := range []string{"AMQP_URL", "DATABASE_URL"} {
		if os.Getenv(name) == "" {
			t.Fatalf("%s is not set; make test sets it", name)
		}
	}
	c := &crowd{bundle: &bundle{T: t, log: new(lockedBuffer)}, name: "crowd-" + strings.ToLower(message.NewID())}
	open := func() *rabbitmq.Broker {
		mq, err := rabbitmq.Open(rabbitmq.Settings{URL: os.Getenv("AMQP_URL"), Name: t.Name(), Logger: c.logger()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = mq.Close(context.Background()) })
		return mq
	}
	c.mq = open()
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: os.Getenv("DATABASE_URL"), Logger: c.logger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.state = db
	for _, flow := range [...]message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
		c.declare(message.Key(c.name, flow))
	}
	t.Cleanup(func() {
		for _, queue := range []string{".customer.acme", ".customer.other"} {
			_ = c.mq.Delete(context.Background(), c.name+queue)
		}
	})
	c.start(open(), opts...)
	return c
}

func (c *crowd) declare(queue string) {
	c.Helper()
	if err := c.mq.Declare(c.Context(), broker.Queue{Name: queue, Keys: []string{queue}}); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = c.mq.Delete(context.Background(), queue) })
}

func (c *crowd) start(mq broker.Broker, opts ...func(*Application)) {
	c.Helper()
	port := 0
	c.app = New()
	c.app.SMPPPort, c.app.Interface = &port, "127.0.0.1"
	for _, name := range []string{"acme", "other"} {
		c.app.Customers = append(c.app.Customers, options.Pair[Customer]{Key: name, Value: Customer{Password: password}})
	}
	for _, option := range opts {
		option(c.app)
	}
	env := worker.Dependencies{
		Name: c.name, Kind: worker.KindApplication, Broker: mq, State: loaded{c.state, databaseDelay}, Logger: c.logger(),
	}
	conf := applications.DefaultOptions()
	conf.TransportName = c.name
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- applications.New(env, conf, c.app).Run(ctx) }()
	c.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			c.Errorf("the server ended with %v", err)
		}
	})
	if _, err := c.app.Addrs(within(c)); err != nil {
		c.Fatal(err)
	}
}

// submitted are the delivery reports of n messages that a customer has submitted.
func (c *crowd) submitted(systemID string, n int) (reports []broker.Publication) {
	c.Helper()
	var entries []store.Entry
	for range n {
		id := message.NewID()
		text, err := json.Marshal(record{
			Customer: systemID, Parts: []recordPart{{ID: id, Registered: pdu.ReceiptFinal}}, State: pdu.StateAccepted, Submitted: time.Now(),
		})
		if err != nil {
			c.Fatal(err)
		}
		entries = append(entries, store.Entry{Key: "plugin/" + c.name + "/submitted/" + id, Value: string(text), TTL: time.Hour})
		m := message.New()
		m.ID = id
		m.RoutingMetadata.Set(helperKey, systemID)
		reports = append(reports, broker.Publication{
			Key: message.Key(c.name, message.EventFlow), Body: message.NewDeliveryReport(m, message.Delivered).Encode(),
		})
	}
	for batch := range slices.Chunk(entries, 500) {
		if err := c.state.Set(c.Context(), batch...); err != nil {
			c.Fatal(err)
		}
	}
	return reports
}

func (c *crowd) publishAll(list []broker.Publication) {
	c.Helper()
	done := make(chan error, len(list))
	for _, p := range list {
		c.mq.PublishAsync(c.Context(), p, func(err error) { done <- err })
	}
	for range list {
		if err := <-done; err != nil {
			c.Error(err)
		}
	}
}

// loaded is a database that takes its time for every statement.
type loaded struct {
	store.State
	delay time.Duration
}

func (l loaded) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	time.Sleep(l.delay)
	return l.State.Get(ctx, keys...)
}

func (l loaded) Set(ctx context.Context, entries ...store.Entry) error {
	time.Sleep(l.delay)
	return l.State.Set(ctx, entries...)
}

// moving is how long it takes a bare loop to move bodies from one queue to another, each
// confirmed before it is acknowledged.
func (c *crowd) moving(list []broker.Publication) time.Duration {
	c.Helper()
	from, to := c.name+".from", c.name+".to"
	c.declare(from)
	c.declare(to)
	var here []broker.Publication
	for _, p := range list {
		here = append(here, broker.Publication{Key: from, Body: p.Body})
	}
	c.publishAll(here)
	ctx, cancel := context.WithCancel(c.Context())
	left, began := len(list), time.Now()
	moved := make(chan struct{}, len(list))
	go func() {
		for range left {
			<-moved
		}
		cancel()
	}()
	err := c.mq.Consume(ctx, broker.Queue{Name: from, Keys: []string{from}}, inFlight, func(d *broker.Delivery) {
		c.mq.PublishAsync(ctx, broker.Publication{Key: to, Body: d.Body}, func(err error) {
			if err != nil {
				c.Error(err)
			}
			d.Ack()
			moved <- struct{}{}
		})
	})
	if err != nil {
		c.Fatal(err)
	}
	return time.Since(began)
}

// latency is how long one receipt of a customer takes that is bound.
func (c *crowd) latency(client *esme, report broker.Publication) time.Duration {
	c.Helper()
	began := time.Now()
	c.publishAll([]broker.Publication{report})
	_ = client.conn.SetReadDeadline(time.Now().Add(servicesPatience))
	for {
		p, err := client.reader.Read()
		if err != nil {
			c.Fatalf("no receipt came after %s: %v", time.Since(began), err)
		}
		if p.Command() == pdu.CmdDeliverSM {
			took := time.Since(began)
			client.write(p.Respond(pdu.StatusOK))
			return took
		}
		if p.Command() == pdu.CmdEnquireLink {
			client.write(p.Respond(pdu.StatusOK))
		}
	}
}

// What waits for customers who are bound and answer nothing, or who are not bound, costs
// another customer's receipt no more than the time that it takes to move it.
func TestTwentyThousandForAMuteCustomer(t *testing.T) {
	for name, kind := range map[string]pdu.CommandID{"mute": pdu.CmdBindTransceiver, "not bound": 0} {
		n := 20_000
		if kind == 0 {
			n = 5_000
		}
		t.Run(name, func(t *testing.T) {
			c := startCrowd(t, func(a *Application) { a.KeepMax = 2 * n })
			client := c.boundAs("other", pdu.Version34)
			if kind != 0 {
				c.bound(kind)
			}
			mine := c.submitted("other", 11)
			alone := median(c.latencies(client, mine[:5]))
			theirs := c.submitted("acme", n)
			move := c.moving(theirs)
			c.publishAll(theirs)
			behind := c.latency(client, mine[5])
			t.Logf("alone %s; behind %d for another %s; moving them takes %s", alone, n, behind, move)
			if behind > 5*move+5*time.Second { // the race detector slows the server more than the loop
				t.Errorf("a receipt behind %d of another customer took %s; moving those takes %s", n, behind, move)
			}
			testutil.EventuallyWithin(t, servicesPatience, "all waits in the customer's queue", func() bool {
				info, err := c.mq.Inspect(t.Context(), c.name+".customer.acme")
				return err == nil && info.Messages >= n-2*defaultWindow*defaultMaxBinds
			})
			more := c.submitted("acme", 2000)
			stop, flowed := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(flowed)
				for batch := range slices.Chunk(more, 10) {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
						c.publishAll(batch)
					}
				}
			}()
			beside := median(c.latencies(client, mine[6:11]))
			close(stop)
			<-flowed
			t.Logf("beside what still comes for the other %s", beside)
			if beside > 5*alone+time.Second { // a few statements, not the other's two thousand
				t.Errorf("a receipt beside what waits for another customer took %s, and %s alone", beside, alone)
			}
		})
	}
}

func (c *crowd) latencies(client *esme, reports []broker.Publication) (all []time.Duration) {
	for _, report := range reports {
		all = append(all, c.latency(client, report))
	}
	return all
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
