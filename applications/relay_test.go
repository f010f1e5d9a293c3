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
	"switchboard/worker"
)

// heldRelay moves what comes to its queue "box" until it is opened.
type heldRelay struct {
	queues chan applications.Queues
	got    []*applications.Received
}

func (*heldRelay) Receive(context.Context, *message.Message) ([]*message.Message, error) {
	return nil, errors.New("it passes on, and answers nothing")
}

func (*heldRelay) Queues() []string { return []string{"box"} }

func (h *heldRelay) Run(ctx context.Context, out applications.Sender) error {
	h.queues <- out.(applications.Queues)
	<-ctx.Done()
	return nil
}

func (h *heldRelay) Accept(ctx context.Context, r *applications.Received, done func(error)) {
	if r.Queue == "" {
		done(r.Move(ctx, "box", 0))
		return
	}
	h.got = append(h.got, r)
	if r.Message != nil && r.Message.Content == "broken" {
		done(message.Permanent(errors.New("the message is broken")))
		return
	}
	done(nil)
}

// What a Relay moves to a queue of its own comes again from there, in its order and with
// the time it first came; it is processed once, and its dead letters are that queue's.
func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, app := memory.New(memory.Settings{}), &heldRelay{queues: make(chan applications.Queues, 1)}
		options := applications.DefaultOptions()
		options.TransportName = "app"
		env := worker.Dependencies{Name: "app", Kind: worker.KindApplication, Broker: b, Logger: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- applications.New(env, options, app).Run(ctx) }()
		queues := <-app.queues
		synctest.Wait()
		receipts := broker.Queue{Name: "receipts", Keys: []string{message.ReceiptKey("app")}}
		if err := b.Declare(ctx, receipts); err != nil {
			t.Fatal(err)
		}
		began, first := time.Now(), message.New()
		for _, text := range []string{"one", "two", "broken"} {
			m := message.New()
			m.From, m.To, m.Content = "+27831234567", "9292", text
			if err := b.Publish(ctx, broker.Publication{Key: "app.inbound", Body: m.Encode()}); err != nil {
				t.Fatal(err)
			}
		}
		ack := message.NewAck(first, "1")
		if err := b.Publish(ctx, broker.Publication{Key: "app.event", Body: ack.Encode()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if found, err := queues.Count(ctx, "box", "none"); err != nil || found["box"] != 4 || found["none"] != 0 || len(app.got) != 0 {
			t.Fatalf("in the box are %v, %v; %d came", found, err, len(app.got))
		}
		if err := queues.Put(ctx, "box", message.NewNack(first, "no")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		opened, shut := context.WithCancel(ctx)
		closed := make(chan error, 1)
		go func() { closed <- queues.Consume(opened, "box", 1) }()
		synctest.Wait()
		shut()
		if err := <-closed; err != nil || len(app.got) != 5 {
			t.Fatalf("%d came, %v", len(app.got), err)
		}
		texts, events := "", 0
		for _, r := range app.got {
			if r.Event != nil {
				events++
				continue
			}
			texts += r.Message.Content + " "
			if late := r.Since.Sub(began); late < -time.Second || late > time.Second {
				t.Errorf("%s came first at %s, not %s", r.Message.Content, r.Since, began)
			}
		}
		if texts != "one two broken " || events != 2 {
			t.Errorf("came %q and %d events", texts, events)
		}
		for queue, want := range map[string]int{"app.box": 0, "app.box.dead": 1, "app.inbound": 0, "app.event": 0, "receipts": 4} {
			if info, err := b.Inspect(ctx, queue); err != nil || info.Messages != want {
				t.Errorf("%s holds %d, %v; want %d", queue, info.Messages, err, want)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close(context.Background())
	})
}
