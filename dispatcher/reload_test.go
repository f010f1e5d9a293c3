package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/routers"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

const (
	stages       = 6 // configurations, with a reload between each two
	messagesEach = 1667
)

// stageOptions are the n-th configuration: it leads to an exposed name of its
// own, by one router or another; xmpp comes and goes.
func stageOptions(n int) (dispatcher.Options, dispatcher.Router) {
	app := fmt.Sprintf("app%d", n)
	o := dispatcher.DefaultOptions()
	o.Transports, o.Exposed = options.Names{"sms"}, options.Names{app, "writer"}
	if n == 2 || n == 3 {
		o.Transports = append(o.Transports, "xmpp")
	}
	if n%2 == 1 {
		return o, routerFunc(func(a dispatcher.Arrival) ([]dispatcher.Target, error) {
			if a.Flow == message.Outbound {
				return dispatcher.To("sms"), nil
			}
			return dispatcher.To(app), nil
		})
	}
	r := routers.NewSimple()
	for _, name := range o.Transports {
		r.RouteMappings = append(r.RouteMappings, options.Pair[options.Names]{Key: name, Value: options.Names{app}})
	}
	if err := r.Check(o.Names()); err != nil {
		panic(err)
	}
	return o, r
}

// marker notes which configuration's middleware a message passed, each time.
type marker struct{ n int }

func (m marker) Wrap(_ message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error {
		e.Routing().Set("passed", strings.Trim(e.Routing().Raw("passed")+fmt.Sprint(m.n), `"`))
		return next(ctx, e)
	}
}

func stackOf(n int) worker.Stack {
	return worker.NewStack(worker.Layer{Name: "mark", Middleware: marker{n}})
}

// reloading is a dispatcher that goes from stage to stage.
type reloading struct {
	*bench
	dispatcher *dispatcher.Dispatcher
}

func startReloading(t *testing.T) *reloading {
	t.Helper()
	b := memory.New(memory.Settings{})
	state := statememory.New()
	opts, router := stageOptions(0)
	env := worker.Dependencies{Name: "join", Broker: b, State: state, Logger: slog.New(slog.DiscardHandler), Stack: stackOf(0)}
	d := dispatcher.New(env, opts, router)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	synctest.Wait()
	if err := b.Declare(ctx, broker.Queue{Name: "xmpp.inbound", Keys: []string{"xmpp.inbound"}}); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		_, _ = b.Close(context.Background()), state.Close()
	}
	return &reloading{&bench{t, b, stop}, d}
}

// send publishes a stage's messages; half-way it asks for the next stage.
func (r *reloading) send(n int) {
	reloaded := make(chan error, 1)
	for i := range messagesEach {
		if i == messagesEach/2 {
			go func() { reloaded <- r.reload(n + 1) }()
		}
		m := inbound(fmt.Sprint(n*messagesEach + i))
		for _, key := range []string{"sms.inbound", "xmpp.inbound", "writer.outbound"} {
			if m.TransportName = "sms"; key == "xmpp.inbound" {
				m.TransportName = "xmpp"
			}
			r.broker.PublishAsync(r.t.Context(), broker.Publication{Key: key, Body: m.Encode()}, func(error) {})
		}
	}
	if err := <-reloaded; err != nil {
		r.t.Fatal(err)
	}
}

func (r *reloading) reload(n int) error {
	if n == stages {
		return nil
	}
	opts, router := stageOptions(n)
	return r.dispatcher.Reload(r.t.Context(), stackOf(n), opts, router)
}

// Ten thousand messages a queue pass while the dispatcher goes through six
// configurations. Put together, what each configuration sent on is the whole
// sequence: nothing is lost, sent twice, overtaken, or sent by another
// configuration than the one it was taken with.
func TestTenThousandMessagesThroughFiveReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReloading(t)
		defer r.stop()
		for n := range stages {
			r.send(n)
		}
		synctest.Wait()
		var fromSMS, fromXMPP []string
		for n := range stages {
			bySMS, byXMPP := r.arrivals(n)
			fromSMS, fromXMPP = append(fromSMS, bySMS...), append(fromXMPP, byXMPP...)
		}
		r.checkSequence("from sms", fromSMS)
		r.checkSequence("from xmpp, with what waits since it left", append(fromXMPP, r.ids("xmpp.inbound")...))
		if len(fromXMPP) == 0 {
			t.Error("nothing came from xmpp while it was there")
		}
		r.checkSequence("to sms", r.ids("sms.outbound"))
		for _, queue := range []string{"sms.inbound", "sms.inbound.dead", "xmpp.inbound.dead", "writer.outbound", "writer.outbound.dead"} {
			if n := len(r.bodies(queue)); n != 0 {
				t.Errorf("%s holds %d", queue, n)
			}
		}
	})
}

// arrivals are the messages the n-th configuration sent on, by their transport.
func (r *reloading) arrivals(n int) (sms, xmpp []string) {
	r.t.Helper()
	for _, d := range r.bodies(fmt.Sprintf("app%d.inbound", n)) {
		m := decode(r.t, d)
		if by := m.RoutingMetadata.Raw("passed"); by != fmt.Sprintf("%q", fmt.Sprint(n)) {
			r.t.Fatalf("message %s reached app%d through the middleware of configurations %s", m.ID, n, by)
		}
		if m.TransportName == "xmpp" {
			xmpp = append(xmpp, m.ID)
		} else {
			sms = append(sms, m.ID)
		}
	}
	return sms, xmpp
}

func (r *reloading) ids(queue string) (ids []string) {
	for _, d := range r.bodies(queue) {
		ids = append(ids, decode(r.t, d).ID)
	}
	return ids
}

func (r *reloading) checkSequence(what string, ids []string) {
	r.t.Helper()
	if len(ids) != stages*messagesEach {
		r.t.Errorf("%s: %d of %d messages", what, len(ids), stages*messagesEach)
	}
	for i, id := range ids {
		if id != fmt.Sprint(i) {
			r.t.Fatalf("%s: at place %d is message %s", what, i, id)
		}
	}
}

// What cannot be taken over changes nothing.
func TestAFailedReloadChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReloading(t)
		defer r.stop()
		opts, _ := stageOptions(1)
		err := r.dispatcher.Reload(t.Context(), worker.Stack{}, opts, unwilling{})
		if err == nil || !strings.Contains(err.Error(), "no table") {
			t.Fatalf("got %v", err)
		}
		r.publish("sms.inbound", inbound("1").Encode())
		r.one("app0.inbound")
	})
}

type unwilling struct{ dispatcher.Router }

func (unwilling) Provision(context.Context, dispatcher.Env) error { return errors.New("no table") }

// A reload of a dispatcher that has ended says so, and does not wait.
func TestReloadAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReloading(t)
		r.stop()
		opts, router := stageOptions(1)
		if err := r.dispatcher.Reload(t.Context(), worker.Stack{}, opts, router); !errors.Is(err, dispatcher.ErrNotRunning) {
			t.Errorf("got %v", err)
		}
	})
}

// Events find their way back over a reload: by their return path and by what the old
// configuration remembered.
func TestEventsComeHomeOverAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReloading(t)
		defer r.stop()
		r.publish("writer.outbound", inbound("1").Encode())
		sent := decode(t, r.one("sms.outbound"))
		if err := r.reload(1); err != nil {
			t.Fatal(err)
		}
		r.publish("sms.event", message.NewAck(sent, "x").Encode())
		r.publish("sms.event", foreignAck(sent))
		if n := len(r.bodies("writer.event")); n != 2 {
			t.Errorf("%d of 2 events came back", n)
		}
	})
}

// closing is a router that counts how often it was closed.
type closing struct {
	routerFunc
	closed atomic.Int32
}

func (c *closing) Close() error {
	c.closed.Add(1)
	return nil
}

// A router is closed once: when a reload has replaced it and its last message is
// settled, or when the dispatcher ends.
func TestRoutersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReloading(t)
		opts, plain := stageOptions(1)
		first, second := &closing{routerFunc: plain.(routerFunc)}, &closing{routerFunc: plain.(routerFunc)}
		reload := func(router dispatcher.Router) {
			t.Helper()
			if err := r.dispatcher.Reload(t.Context(), worker.Stack{}, opts, router); err != nil {
				t.Fatal(err)
			}
		}
		reload(first)
		r.publish("sms.inbound", inbound("1").Encode())
		if n := first.closed.Load(); n != 0 {
			t.Errorf("closed %d times while it routes", n)
		}
		reload(second)
		synctest.Wait()
		if n := first.closed.Load(); n != 1 {
			t.Errorf("closed %d times after a reload", n)
		}
		r.stop()
		if n := second.closed.Load(); n != 1 || first.closed.Load() != 1 {
			t.Errorf("closed %d times after the stop", n)
		}
	})
}
