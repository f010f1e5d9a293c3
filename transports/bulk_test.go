package transports_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	statememory "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/worker"
)

// post is a transport that takes many at once: it refuses the addresses that
// begin with "bad", wants those with "busy" once more, and drops an answer to a
// text of "short".
type post struct {
	many  int
	takes time.Duration // a call, of the test's own clock
	mu    sync.Mutex
	calls [][]*message.Message
	seen  map[string]int
}

var _ transports.BulkSender = (*post)(nil)

func (p *post) Run(ctx context.Context, _ transports.Publisher) error {
	<-ctx.Done()
	return nil
}

func (p *post) Send(_ context.Context, m *message.Message) (string, error) {
	p.note([]*message.Message{m})
	return "alone-" + m.ID, nil
}

func (p *post) MaxMany() int { return p.many }

func (p *post) note(messages []*message.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, messages)
}

func (p *post) again(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[address]++
	return p.seen[address] > 1
}

func (p *post) SendMany(_ context.Context, messages []*message.Message) []transports.Result {
	p.note(messages)
	time.Sleep(p.takes)
	if messages[0].Content == "panic" {
		panic("out of paper")
	}
	var results []transports.Result
	for _, m := range messages {
		r := transports.Result{ProviderID: "id-" + m.ID}
		switch {
		case strings.HasPrefix(m.To, "bad"):
			r = transports.Result{Err: message.Permanent(errors.New("no such person"))}
		case strings.HasPrefix(m.To, "busy") && !p.again(m.To):
			r = transports.Result{Err: message.RetryAfter(10*time.Millisecond, errors.New("busy"))}
		}
		results = append(results, r)
	}
	if messages[0].Content == "short" {
		return results[1:]
	}
	return results
}

// sendAll puts messages on the queue of a post, runs it, and returns the last
// event of each.
func sendAll(t *testing.T, p *post, messages []*message.Message) map[string]*message.Event {
	t.Helper()
	p.seen = map[string]int{}
	b := memory.New(memory.Settings{})
	queue := broker.Queue{Name: "post.outbound", Keys: []string{"post.outbound"}}
	if err := b.Declare(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := b.Publish(t.Context(), broker.Publication{Key: "post.outbound", Body: m.Encode()}); err != nil {
			t.Fatal(err)
		}
	}
	events := make(chan *message.Event, 2*len(messages))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() {
		done <- b.Consume(ctx, broker.Queue{Name: "post.event", Keys: []string{"post.event"}}, 100, func(d *broker.Delivery) {
			e, err := message.DecodeEvent(d.Body)
			if err != nil {
				t.Error(err)
			}
			d.Ack()
			events <- e
		})
	}()
	options := transports.DefaultOptions()
	options.TransportName = "post"
	state := statememory.New()
	frame := transports.New(worker.Dependencies{Name: "post", Broker: b, State: state, Logger: slog.New(slog.DiscardHandler)}, options, p)
	go func() { done <- frame.Run(ctx) }()
	defer func() {
		stop()
		if err := errors.Join(<-done, <-done, b.Close(context.Background()), state.Close()); err != nil {
			t.Error(err)
		}
	}()
	got := map[string]*message.Event{}
	for deadline := time.After(10 * time.Second); len(got) < len(messages); {
		select {
		case e := <-events:
			if got[e.MessageID] != nil {
				t.Errorf("message %s has two events", e.MessageID)
			}
			got[e.MessageID] = e
		case <-deadline:
			t.Fatalf("%d of %d messages were answered", len(got), len(messages))
		}
	}
	return got
}

func outboundTo(to, text string) *message.Message {
	m := message.New()
	m.ID, m.To, m.From, m.Content = to, to, "12345", text
	return m
}

func TestManyAtOnce(t *testing.T) { synctest.Test(t, manyAtOnce) }

func manyAtOnce(t *testing.T) {
	p := &post{many: 10, takes: 20 * time.Millisecond}
	var messages []*message.Message
	for i := range 95 {
		messages = append(messages, outboundTo(fmt.Sprint("good", i), "hello"))
	}
	messages = append(messages, outboundTo("bad1", "hello"), outboundTo("busy1", "hello"), outboundTo("other", "another text"))
	reply := outboundTo("reply", "hello")
	reply.InReplyTo = "question"
	events := sendAll(t, p, append(messages, reply))
	for id, e := range events {
		want := message.Ack
		if id == "bad1" {
			want = message.Nack
		}
		if e.Type != want {
			t.Errorf("%s: %s", id, e.Type)
		}
	}
	if id := events["reply"].SentMessageID; id != "alone-reply" {
		t.Errorf("a reply was sent with others: %s", id)
	}
	if id := events["busy1"].SentMessageID; id != "id-busy1" || p.seen["busy1"] != 2 {
		t.Errorf("the busy one was tried %d times and became %s", p.seen["busy1"], id)
	}
	if len(p.calls) > 30 {
		t.Errorf("%d calls for 99 messages, ten at once", len(p.calls))
	}
	for _, call := range p.calls {
		if len(call) > 10 {
			t.Errorf("%d at once, more than MaxMany", len(call))
		}
		for _, m := range call {
			if m.Content != call[0].Content {
				t.Errorf("%q and %q in one call", m.Content, call[0].Content)
			}
		}
	}
}

// When a transport does not say what became of each, none is sent again.
func TestManyAtOnceWithoutAnswers(t *testing.T) {
	for _, text := range []string{"short", "panic"} {
		p := &post{many: 3}
		for id, e := range sendAll(t, p, []*message.Message{outboundTo("a", text), outboundTo("b", text), outboundTo("c", text)}) {
			if e.Type != message.Nack {
				t.Errorf("%s: %s: %s", text, id, e.Type)
			}
		}
		if n := len(p.calls); n > 3 {
			t.Errorf("%s: %d calls", text, n)
		}
	}
}
