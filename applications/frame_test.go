package applications_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/applications"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// counter counts the messages and events it gets, and answers each message.
type counter struct{ messages, events int }

func (c *counter) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	c.messages++
	return []*message.Message{m.Reply("yes")}, nil
}

func (c *counter) ReceiveEvent(context.Context, *message.Event) error {
	c.events++
	return nil
}

// A second copy, made because somebody on the way handled it twice or the broker
// delivered it again, is not handled again; one that only looks like it is.
func TestSecondCopiesAreNotHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, state, app := memory.New(memory.Settings{}), statememory.New(), new(counter)
		env := worker.Dependencies{Name: "app", Kind: worker.KindApplication, Broker: b, State: state, Logger: slog.New(slog.DiscardHandler)}
		options := applications.DefaultOptions()
		options.TransportName = "app"
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- applications.New(env, options, app).Run(ctx) }()
		synctest.Wait()
		receipts := broker.Queue{Name: "receipts", Keys: []string{message.ReceiptKey("app")}}
		if err := b.Declare(ctx, receipts); err != nil {
			t.Fatal(err)
		}
		publish := func(e *message.Envelope, again bool) {
			t.Helper()
			if again {
				e.Routing().Set(message.AgainKey, true)
			}
			if err := b.Publish(ctx, broker.Publication{Key: e.Key(), Body: e.Encode()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // of the test's own clock: writes are gathered
			synctest.Wait()
		}
		sent := message.New()
		m, ack := message.New(), message.NewAck(sent, "1")
		in := &message.Envelope{Flow: message.Inbound, Connector: "app", Message: m}
		event := &message.Envelope{Flow: message.EventFlow, Connector: "app", Event: ack}
		publish(in, false)
		publish(in, true)
		publish(event, false)
		publish(event, true)
		if app.messages != 1 || app.events != 1 {
			t.Errorf("handled %d messages and %d events, want 1 of each", app.messages, app.events)
		}
		publish(&message.Envelope{Flow: message.Inbound, Connector: "app", Message: message.New()}, true)
		if app.messages != 2 {
			t.Error("a message that had not been handled was not handled")
		}
		for queue, want := range map[string]int{"app.outbound": 2, "receipts": 2} {
			if info, err := b.Inspect(ctx, queue); err != nil || info.Messages != want {
				t.Errorf("%s has %+v, %v, want %d", queue, info, err, want)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close(context.Background())
		_ = state.Close()
	})
}

// answers gives each message the replies that its content asks for, or fails once.
type answers struct{ failed bool }

func (a *answers) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	switch m.Content {
	case "reply", "reply again":
		return []*message.Message{m.Reply("yes")}, nil
	case "other":
		other := m.Reply("to whom it may concern")
		other.InReplyTo = ""
		return []*message.Message{other}, nil
	case "fail":
		if !a.failed {
			a.failed = true
			return nil, errors.New("not yet")
		}
		return []*message.Message{m.Reply("now")}, nil
	}
	return nil, nil
}

// A receipt says what no reply says.
func TestAReplyIsReceiptEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Settings{})
		env := worker.Dependencies{Name: "app", Kind: worker.KindApplication, Broker: b, Logger: slog.New(slog.DiscardHandler)}
		options := applications.DefaultOptions()
		options.TransportName = "app"
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- applications.New(env, options, new(answers)).Run(ctx) }()
		synctest.Wait()
		key, out := message.ReceiptKey("app"), message.Key("app", message.Outbound)
		if err := b.Declare(ctx, broker.Queue{Name: key, Keys: []string{key}}); err != nil {
			t.Fatal(err)
		}
		for content, want := range map[string]int{"reply": 0, "nothing": 1, "other": 1, "fail": 1, "reply again": 1} {
			m := message.New()
			m.Content = content
			if content == "reply again" {
				m.RoutingMetadata.Set(message.AgainKey, true)
			}
			message.AddHop(&m.RoutingMetadata, "join", "rule of "+content)
			in := &message.Envelope{Flow: message.Inbound, Connector: "app", Message: m}
			if err := b.Publish(ctx, broker.Publication{Key: in.Key(), Body: in.Encode()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // of the test's own clock: what failed comes again
			synctest.Wait()
			if n, err := b.Purge(ctx, key); err != nil || n != want {
				t.Errorf("%s: %d receipts, %v; want %d", content, n, err, want)
			}
			err := b.Browse(ctx, out, 10, func(d *broker.Delivery) (broker.Verdict, error) {
				reply, err := message.Decode(d.Body)
				if err != nil || reply.InReplyTo == "" {
					return broker.Remove, err
				}
				came := message.AnsweredHops(&reply.RoutingMetadata)
				if len(came) != 1 || came[0].Rule != "rule of "+content || len(message.Hops(&reply.RoutingMetadata)) != 0 {
					t.Errorf("%s: the reply says that its message came by %+v", content, came)
				}
				if ack := message.NewAck(reply, "1"); len(message.AnsweredHops(&ack.RoutingMetadata)) != 0 {
					t.Errorf("%s: its event repeats it: %s", content, ack.Encode())
				}
				return broker.Remove, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close(context.Background())
	})
}
