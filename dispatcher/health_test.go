package dispatcher_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/routers"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// replicas starts several dispatchers of one name that balance over sms and xmpp.
func replicas(t *testing.T, n int) *bench {
	t.Helper()
	state, mem := statememory.New(), memory.New(memory.Settings{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, n)
	for range n {
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"sms", "xmpp"}, options.Names{"app"}
		router := routers.NewLoadBalancing()
		if err := router.Check(opts.Names()); err != nil {
			t.Fatal(err)
		}
		env := worker.Dependencies{Name: "join", Broker: mem, State: state, Logger: slog.New(slog.DiscardHandler)}
		go func() { done <- dispatcher.New(env, opts, router).Run(ctx) }()
	}
	synctest.Wait()
	return &bench{t, mem, func() {
		cancel()
		for range n {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		_ = mem.Close(context.Background())
		_ = state.Close()
	}}
}

// send publishes some messages and says how many each transport got since the
// last time.
func (b *bench) send(seen map[string]int) (sms, xmpp int) {
	b.t.Helper()
	for i := range 20 {
		b.publish("app.outbound", inbound(fmt.Sprint(i)).Encode())
	}
	sms, xmpp = len(b.bodies("sms.outbound"))-seen["sms"], len(b.bodies("xmpp.outbound"))-seen["xmpp"]
	seen["sms"] += sms
	seen["xmpp"] += xmpp
	return sms, xmpp
}

func (b *bench) say(transport, component string, health message.Health) {
	b.publish(transport+".status.status", message.NewStatus(component, health, "test", "").Encode())
	time.Sleep(3 * time.Second) // of the test's own clock: the replicas tell each other
	synctest.Wait()
}

// A transport that says it is down gets nothing new from any replica, and its
// share again when all of its components are well.
func TestADownTransportIsPassedOver(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d replicas", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := replicas(t, n)
				defer b.stop()
				seen := map[string]int{}
				if sms, xmpp := b.send(seen); sms < 5 || xmpp < 5 {
					t.Errorf("with both well: %d and %d", sms, xmpp)
				}
				b.say("sms", "connection", message.Down)
				b.say("sms", "request", message.OK)
				if sms, xmpp := b.send(seen); sms != 0 || xmpp != 20 {
					t.Errorf("with sms down: %d and %d", sms, xmpp)
				}
				b.say("sms", "connection", message.Degraded)
				if sms, _ := b.send(seen); sms < 5 {
					t.Errorf("with sms degraded: %d", sms)
				}
				b.say("xmpp", "connection", message.Down)
				if sms, xmpp := b.send(seen); sms != 20 || xmpp != 0 {
					t.Errorf("with xmpp down: %d and %d", sms, xmpp)
				}
			})
		})
	}
}

// A transport that was killed says nothing; that nobody consumes its queue any
// more says it.
func TestAKilledTransportIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := replicas(t, 2)
		defer b.stop()
		consume := func() (kill func()) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			queue := broker.Queue{Name: "sms.outbound", Keys: []string{"sms.outbound"}}
			go func() { done <- b.broker.Consume(ctx, queue, 1, func(d *broker.Delivery) { d.Ack() }) }()
			time.Sleep(5 * time.Second) // of the test's own clock: until the dispatchers have looked
			return func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
			}
		}
		kill := consume()
		kill()
		if sms, xmpp := b.send(map[string]int{}); sms != 0 || xmpp != 20 {
			t.Errorf("with sms killed: %d and %d", sms, xmpp)
		}
		kill = consume()
		defer kill()
		seen := map[string]int{"xmpp": 20}
		if _, xmpp := b.send(seen); xmpp > 15 {
			t.Errorf("with sms back xmpp still gets %d of 20", xmpp)
		}
	})
}

// What is no status event does not stop those behind it.
func TestMalformedStatusIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := replicas(t, 1)
		defer b.stop()
		b.publish("sms.status.status", []byte("hello"))
		b.say("sms", "connection", message.Down)
		if sms, _ := b.send(map[string]int{}); sms != 0 {
			t.Errorf("sms got %d", sms)
		}
		if n := len(b.bodies("join.status")); n != 0 {
			t.Errorf("%d status events are left", n)
		}
	})
}
