package smpp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	brokermemory "switchboard/broker/memory"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/worker"
)

// fleet is a broker with a transport's worker on it.
type fleet struct {
	testing.TB
	broker broker.Broker
	name   string
	watch  *worker.Monitor
	events chan *message.Event
	stop   func()
}

// employ runs a transport as a worker does.
func employ(t testing.TB, tr *Transport, state store.State) *fleet {
	t.Helper()
	return employAt(t, tr, state, brokermemory.New(brokermemory.Settings{}))
}

func employAt(t testing.TB, tr *Transport, state store.State, at broker.Broker) *fleet {
	t.Helper()
	return employWith(t, tr, state, at, transports.DefaultOptions())
}

func employWith(t testing.TB, tr *Transport, state store.State, at broker.Broker, o transports.Options) *fleet {
	t.Helper()
	f := &fleet{TB: t, broker: at, name: tr.TransportName, watch: worker.NewMonitor("smpp", nil), events: make(chan *message.Event, 1<<16)}
	o.TransportName, o.RetryInitialDelay = tr.TransportName, quick
	w := transports.New(worker.Dependencies{Name: "smpp", Kind: worker.KindTransport, Broker: f.broker, State: state, Logger: logger(t), Monitor: f.watch}, o, tr)
	ctx, cancel := context.WithCancel(context.Background())
	worked, listened := make(chan error, 1), make(chan error, 1)
	go func() { worked <- w.Run(ctx) }()
	hear, deafen := context.WithCancel(context.Background())
	go func() {
		key := message.Key(tr.TransportName, message.EventFlow)
		listened <- f.broker.Consume(hear, broker.Queue{Name: key, Keys: []string{key}}, 1000, func(d *broker.Delivery) {
			if e, err := message.DecodeEvent(d.Body); err == nil {
				f.events <- e
			}
			d.Ack()
		})
	}()
	f.stop = func() {
		cancel()
		if err := <-worked; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
		deafen()
		<-listened
		_ = f.broker.Close(context.Background())
	}
	return f
}

func (f *fleet) publish(m *message.Message) {
	f.Helper()
	key := message.Key(f.name, message.Outbound)
	ctx := within(f)
	for { // until the worker has declared its queue
		err := f.broker.Publish(ctx, broker.Publication{Key: key, Body: m.Encode()})
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			f.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

func (f *fleet) next() *message.Event {
	f.Helper()
	select {
	case e := <-f.events:
		return e
	case <-time.After(10 * time.Second):
		f.Fatal("no event came")
	}
	return nil
}

// A stop does not wait for a bind that is down; what waited for it stays in its
// queue, and operators are told why.
func TestStopWhileTheBindIsDown(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusInvPaswd)}}})
	state := remember(t)
	f := employ(t, connected(t, v.Addr(), state, nil), state)
	for range 20 {
		f.publish(outgoing("hello"))
	}
	testutil.Eventually(t, "the messages wait for the bind", func() bool { return f.watch.Held()["smpp_transport.outbound"] == 20 })
	testutil.Eventually(t, "the bind is refused", func() bool {
		all := f.watch.Dependencies()
		return len(all) == 1 && all[0].Health == message.Down && strings.Contains(all[0].Reason, "ESME_RINVPASWD") && !all[0].Since.IsZero()
	})
	began := time.Now()
	f.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %s, want little of stop_timeout", took)
	}
	if len(f.events) > 0 {
		t.Errorf("an event of a message that was not submitted: %s", (<-f.events).Encode())
	}
}

// Copies of a message that were made while the SMSC was away are submitted once,
// and acknowledged by one event.
func TestCopiesMadeWhileTheBindIsDown(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusSysErr)}, Receipts: noReceipts(),
	}})
	state := remember(t)
	f := employ(t, connected(t, v.Addr(), state, nil), state)
	defer f.stop()
	m := outgoing("hello")
	f.publish(m)
	m.RoutingMetadata.Set(message.AgainKey, true)
	for range 4 {
		f.publish(m)
	}
	testutil.Eventually(t, "the copies wait for the bind", func() bool { return f.watch.Held()["smpp_transport.outbound"] == 5 })
	v.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	first := f.next()
	for range 4 {
		if e := f.next(); e.ID != first.ID || e.Type != message.Ack || e.SentMessageID != first.SentMessageID {
			t.Errorf("%s after %s", e.Encode(), first.Encode())
		}
	}
	if n := v.Counters().Submits; n != 1 {
		t.Errorf("%d submits, want one", n)
	}
}

func TestFrameAcksAndReports(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Receipts: &simulator.Receipts{Delay: simulator.Fixed(20 * time.Millisecond)},
		Rules:    []simulator.Rule{{To: simulator.Matching("9$"), Status: 0x0B}},
	}})
	state := remember(t)
	f := employ(t, connected(t, v.Addr(), state, nil), state)
	defer f.stop()
	wants := map[string]int{}
	for i := range 100 {
		m := outgoing("hello")
		m.To = fmt.Sprintf("2783%07d", i)
		f.publish(m)
	}
	for range 190 { // 90 acks, 90 reports, 10 nacks
		e := f.next()
		wants[string(e.Type)+string(e.DeliveryStatus)]++
		if e.RoutingMetadata.Text("switchboard_exposed") != "app" || e.TransportName != "smpp_transport" {
			t.Fatalf("event = %s", e.Encode())
		}
	}
	if fmt.Sprint(wants) != "map[ack:90 delivery_reportdelivered:90 nack:10]" {
		t.Errorf("events: %v", wants)
	}
}

// A message whose answer was lost comes again, is not submitted again, and ends
// as its late answer says.
func TestFrameWaitsForTheUnknown(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Late: 1, LateBy: simulator.Fixed(300 * time.Millisecond)}, Receipts: noReceipts(),
	}})
	state := remember(t)
	f := employ(t, connected(t, v.Addr(), state, nil, func(o *Transport) {
		o.SubmitTimeout, o.UnknownWait = quick, 20*quick
	}), state)
	defer f.stop()
	m := outgoing("hello")
	f.publish(m)
	if e := f.next(); e.Type != message.Ack || e.MessageID != m.ID || e.SentMessageID != "1" {
		t.Errorf("event = %s", e.Encode())
	}
	if n := v.Counters().Submits; n != 1 {
		t.Errorf("submitted %d times", n)
	}
}

// BenchmarkFrame is a message from the broker to the SMSC and its ack back.
func BenchmarkFrame(b *testing.B) {
	for _, window := range []int{10, 100} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			v := simulate(b, simulator.Settings{Keep: -1, Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
			state := remember(b)
			f := employ(b, connected(b, v.Addr(), state, nil, func(o *Transport) { o.Window = window }), state)
			defer f.stop()
			b.ResetTimer()
			go func() {
				for i := range b.N {
					m := outgoing("hello, this is a message of usual length for a short message")
					m.To = fmt.Sprintf("2783%07d", i)
					f.publish(m)
				}
			}()
			for range b.N {
				f.next()
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// A second copy of a message that was sent is acknowledged and not submitted, for as
// long as remember_sent says.
func TestSecondCopyIsNotSubmitted(t *testing.T) {
	for name, c := range map[string]struct {
		remember options.Duration
		submits  int
	}{"remembered": {options.Duration(time.Hour), 1}, "not remembered": {0, 2}} {
		t.Run(name, func(t *testing.T) {
			v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
			state := remember(t)
			o := transports.DefaultOptions()
			o.RememberSent = c.remember
			f := employWith(t, connected(t, v.Addr(), state, nil), state, brokermemory.New(brokermemory.Settings{}), o)
			defer f.stop()
			m := outgoing("hello")
			f.publish(m)
			first := f.next()
			m.RoutingMetadata.Set(message.AgainKey, true)
			f.publish(m)
			if second := f.next(); second.Type != message.Ack || c.submits == 1 && second.ID != first.ID || len(v.Submitted()) != c.submits {
				t.Errorf("after %d submits comes %s", len(v.Submitted()), second.Encode())
			}
		})
	}
}
