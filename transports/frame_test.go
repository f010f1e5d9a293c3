package transports_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/worker"
)

// wire is a transport that counts what it sends, and refuses "bad" texts.
type wire struct {
	sent    atomic.Int64
	sending func() // where set, is called by Send
}

func (w *wire) Run(ctx context.Context, _ transports.Publisher) error {
	<-ctx.Done()
	return nil
}

func (w *wire) Send(_ context.Context, m *message.Message) (string, error) {
	if w.sending != nil {
		w.sending()
	}
	if m.Content == "bad" {
		return "", message.Permanent(errors.New("not that word"))
	}
	w.sent.Add(1)
	return "outside-" + m.ID, nil
}

// onWire runs a wire in its frame while do publishes to it.
func onWire(t *testing.T, do func(publish func(*message.Message), events func() []*message.Event, w *wire)) {
	t.Helper()
	onWireOf(t, &wire{}, func(b broker.Broker) broker.Broker { return b }, do)
}

// onWireOf runs w on the broker that wrap makes of a new one.
func onWireOf(t *testing.T, w *wire, wrap func(broker.Broker) broker.Broker, do func(publish func(*message.Message), events func() []*message.Event, w *wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, state := memory.New(memory.Settings{}), statememory.New()
		env := worker.Dependencies{Name: "wire", Broker: wrap(b), State: state, Logger: slog.New(slog.DiscardHandler)}
		options := transports.DefaultOptions()
		options.TransportName = "wire"
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- transports.New(env, options, w).Run(ctx) }()
		synctest.Wait()
		publish := func(m *message.Message) {
			if err := b.Publish(ctx, broker.Publication{Key: "wire.outbound", Body: m.Encode()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // of the test's own clock: writes are gathered
			synctest.Wait()
		}
		events := func() (found []*message.Event) {
			err := b.Browse(ctx, "wire.event", 100, func(d *broker.Delivery) (broker.Verdict, error) {
				e, err := message.DecodeEvent(d.Body)
				found = append(found, e)
				return broker.Keep, err
			})
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		do(publish, events, w)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close(context.Background())
		_ = state.Close()
	})
}

func outbound(content string) *message.Message {
	m := message.New()
	m.To, m.From, m.Content, m.TransportName = "+27831234567", "12345", content, "wire"
	m.RoutingMetadata.Set(message.PathKey, []string{"app"})
	return m
}

// An ack carries the outside's identifier and the message's return path.
func TestAck(t *testing.T) {
	onWire(t, func(publish func(*message.Message), events func() []*message.Event, _ *wire) {
		m := outbound("hello")
		publish(m)
		found := events()
		if len(found) != 1 || found[0].Type != message.Ack || found[0].SentMessageID != "outside-"+m.ID ||
			message.Application(&found[0].RoutingMetadata) != "app" {
			t.Errorf("got %+v", found)
		}
	})
}

func TestRefusedIsNacked(t *testing.T) {
	onWire(t, func(publish func(*message.Message), events func() []*message.Event, _ *wire) {
		publish(outbound("bad"))
		if found := events(); len(found) != 1 || found[0].Type != message.Nack || found[0].NackReason != "not that word" {
			t.Errorf("got %+v", found)
		}
	})
}

// A copy of a message, made because somebody on the way handled it twice, is
// acknowledged again, by the same event, and not sent again.
func TestCopyIsNotSentAgain(t *testing.T) {
	onWire(t, func(publish func(*message.Message), events func() []*message.Event, w *wire) {
		m := outbound("hello")
		publish(m)
		m.RoutingMetadata.Set(message.AgainKey, true)
		publish(m)
		if found := events(); w.sent.Load() != 1 || len(found) != 2 || found[1].SentMessageID != "outside-"+m.ID || found[0].ID != found[1].ID {
			t.Errorf("sent %d times, events %+v", w.sent.Load(), found)
		}
		fresh := outbound("another")
		fresh.RoutingMetadata.Set(message.AgainKey, true)
		publish(fresh)
		if w.sent.Load() != 2 {
			t.Error("a message that had not been sent was not sent")
		}
	})
}

// losing takes each delivery back the first time, as soon as lose is set.
type losing struct {
	broker.Broker
	lose *atomic.Bool
}

func (b losing) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	return b.Broker.ConsumeWithin(ctx, q, limit, func(d *broker.Delivery) {
		copied := *d
		copied.Lost = func() bool { return !d.Redelivered && b.lose.Load() }
		handle(broker.NewDelivery(copied, func(requeue bool) {
			if requeue || copied.Lost() {
				d.Requeue()
			} else {
				d.Ack()
			}
		}))
	})
}

// TestOneOutcomeIsOneEvent: what became of a message whose delivery the broker took back
// while it was sent, or refused, is said by the copy alone.
func TestOneOutcomeIsOneEvent(t *testing.T) {
	var lose atomic.Bool
	w := &wire{}
	w.sending = func() { lose.Store(true) }
	onWireOf(t, w, func(b broker.Broker) broker.Broker { return losing{b, &lose} }, func(publish func(*message.Message), events func() []*message.Event, w *wire) {
		for i, text := range []string{"hello", "bad"} {
			lose.Store(false)
			publish(outbound(text))
			if found := events(); len(found) != i+1 || w.sent.Load() != 1 {
				t.Errorf("%q: %d events, sent %d times", text, len(found), w.sent.Load())
			}
		}
	})
}

// However often a message is refused for the same reason, that is one event.
func TestRefusedTwiceIsOneEvent(t *testing.T) {
	onWire(t, func(publish func(*message.Message), events func() []*message.Event, w *wire) {
		m := outbound("bad")
		publish(m)
		publish(m)
		other := outbound("bad")
		publish(other)
		if found := events(); len(found) != 3 || found[0].ID != found[1].ID || found[0].ID == found[2].ID {
			t.Errorf("got %+v", found)
		}
	})
}

// Each of a broadcast's attempts at a message is sent once: what is remembered of
// one says nothing of the next.
func TestAttemptIsSentThoughTheOneBeforeWas(t *testing.T) {
	onWire(t, func(publish func(*message.Message), events func() []*message.Event, w *wire) {
		h := store.Handover{Attempt: 1}
		h.ID, h.Backend, h.Address, h.Text, h.Broadcast = "broadcast1", "wire", "+27831234567", "hello", 1
		for range 2 {
			m := h.Message()
			m.RoutingMetadata.Set(message.AgainKey, true) // as it would look delivered again
			publish(m)
			publish(m)
			if attempt, sent := h.Attempt, int(w.sent.Load()); sent != attempt {
				t.Errorf("after attempt %d, which came twice: sent %d times", attempt, sent)
			}
			h.Attempt++
		}
		for i, e := range events() {
			if want := i/2 + 1; store.AttemptOf(e) != want {
				t.Errorf("ack %d is of attempt %d, want %d", i+1, store.AttemptOf(e), want)
			}
		}
	})
}
