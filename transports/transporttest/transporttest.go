package transporttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/message"
	"switchboard/transports"
)

// Outside is a transport under test and a person who speaks to it.
type Outside struct {
	// Transport is ready to run, and may be run again after it has stopped.
	Transport transports.Transport
	// Say has the person send a text. It returns nil once the outside was told
	// that the text is accepted, and an error when it was told otherwise, or
	// ctx ends first.
	Say func(ctx context.Context, text string) error
	// Hear is the next text that the person gets.
	Hear func(ctx context.Context) (string, error)
	// Leave has the person go, so that nothing of theirs is left running. It is
	// called before the transport stops, and may be nil.
	Leave func()
	// Unacknowledged says that the protocol has no way to accept a text (as
	// telnet): Say then returns when it is written.
	Unacknowledged bool
	// Sessions says that the person's coming and going are messages too.
	Sessions bool
}

// Run runs what package transports promises of every transport on what open
// opens: a new one for each test, with its own ports and names.
func Run(t *testing.T, open func(t *testing.T) *Outside) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bundle)
	}{
		{"what a person says is received", isReceived},
		{"in its order", inOrder},
		{"any text arrives as it is", anyText},
		{"what is sent to a person is heard", isHeard},
		{"the outside is told only after the broker has it", toldAfterwards},
		{"the outside is not told that what failed is accepted", notTold},
		{"one failure is not the end", failureIsNotTheEnd},
		{"sending ends with its context", sendEnds},
		{"odd messages are sent or refused, without a panic", oddMessages},
		{"after a stop nothing is sent", nothingAfterStop},
		{"a stop does not wait for a broker that is away", stopsWithoutBroker},
		{"it runs again after a stop", runsAgain},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			o := open(t)
			b := &bundle{Outside: o, publisher: NewPublisher()}
			b.stop = Start(t, o.Transport, b.publisher)
			defer func() { b.stop() }() // runsAgain has another one
			if o.Leave != nil {
				defer o.Leave()
			}
			test.run(t, b)
		})
	}
}

// bundle is what each test has.
type bundle struct {
	*Outside
	publisher *Publisher
	stop      func()
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

func (b *bundle) says(t *testing.T, text string) {
	t.Helper()
	if err := b.Say(within(t), text); err != nil {
		t.Fatalf("saying %.40q: %v", text, err)
	}
}

// next is the next message with a text; sessions that begin have none.
func (b *bundle) next(t *testing.T) *message.Message {
	t.Helper()
	m := b.publisher.Next(t)
	for b.Sessions && m.Content == "" {
		m = b.publisher.Next(t)
	}
	return m
}

// asked is the next message with a text that Inbound was called with.
func (b *bundle) asked(t *testing.T) *message.Message {
	t.Helper()
	m := b.publisher.Asked(t)
	for b.Sessions && m.Content == "" {
		m = b.publisher.Asked(t)
	}
	return m
}

func (b *bundle) hears(t *testing.T, want string) {
	t.Helper()
	got, err := b.Hear(within(t))
	if err != nil || got != want {
		t.Fatalf("the person heard %q and %v, want %q", got, err, want)
	}
}

func isReceived(t *testing.T, b *bundle) {
	b.says(t, "hello")
	m := b.next(t)
	switch {
	case m.Content != "hello":
		t.Errorf("received %q", m.Content)
	case m.From == "" || m.To == "" || m.TransportType == "" || len(m.ID) != 32 || m.Timestamp.IsZero():
		t.Errorf("something is missing: %s", m.Encode())
	}
	if _, err := message.Decode(m.Encode()); err != nil {
		t.Errorf("what was received cannot be read again: %v", err)
	}
}

func inOrder(t *testing.T, b *bundle) {
	const many = 50
	for i := range many {
		b.says(t, fmt.Sprint("line ", i))
	}
	seen := map[string]bool{}
	for i := range many {
		m := b.next(t)
		if want := fmt.Sprint("line ", i); m.Content != want {
			t.Fatalf("received %q, want %q", m.Content, want)
		}
		if seen[m.ID] {
			t.Fatalf("two messages have the ID %s", m.ID)
		}
		seen[m.ID] = true
	}
}

func anyText(t *testing.T, b *bundle) {
	for _, text := range []string{
		"naïve ☃ سلام 🎲", "2013-01-01 10:00:00", `{"content": "\u0000"}`, "<b>&amp;</b>", strings.Repeat("long ", 200) + "end",
	} {
		b.says(t, text)
		m := b.next(t)
		if m.Content != text {
			t.Errorf("received %q, want %q", m.Content, text)
		}
		if _, err := b.Transport.Send(within(t), m.Reply(text)); err != nil {
			t.Fatal(err)
		}
		b.hears(t, text)
	}
}

func isHeard(t *testing.T, b *bundle) {
	b.says(t, "hello")
	m := b.next(t)
	for _, text := range []string{"one", "two"} {
		if _, err := b.Transport.Send(within(t), m.Reply(text)); err != nil {
			t.Fatalf("sending %q: %v", text, err)
		}
	}
	b.hears(t, "one")
	b.hears(t, "two")
}

// settle is how long something that must not happen is waited for.
const settle = 50 * time.Millisecond

func toldAfterwards(t *testing.T, b *bundle) {
	b.says(t, "the first")
	b.asked(t)
	release := b.publisher.Hold()
	defer release()
	told := make(chan error, 1)
	ctx := within(t)
	go func() { told <- b.Say(ctx, "held") }()
	if m := b.asked(t); m.Content != "held" {
		t.Fatalf("asked to receive %q", m.Content)
	}
	if !b.Unacknowledged {
		select {
		case err := <-told:
			t.Fatalf("the outside was told (%v) before the broker had the message", err)
		case <-time.After(settle):
		}
	}
	release()
	if err := <-told; err != nil {
		t.Errorf("the outside was told %v", err)
	}
	b.next(t)
	if m := b.next(t); m.Content != "held" {
		t.Errorf("received %q", m.Content)
	}
}

var errRefused = errors.New("the broker refused the body")

func notTold(t *testing.T, b *bundle) {
	b.says(t, "the first")
	b.next(t)
	b.publisher.Refuse(errRefused)
	if err := b.Say(within(t), "lost"); err == nil && !b.Unacknowledged {
		t.Error("the outside was told that a message was accepted that the broker does not have")
	}
}

func failureIsNotTheEnd(t *testing.T, b *bundle) {
	b.says(t, "the first")
	b.next(t)
	b.asked(t)
	b.publisher.Refuse(errRefused)
	_ = b.Say(within(t), "lost")
	b.asked(t)
	b.publisher.Refuse(nil)
	b.says(t, "after it")
	if m := b.next(t); m.Content != "after it" {
		t.Errorf("received %q", m.Content)
	}
}

func sendEnds(t *testing.T, b *bundle) {
	b.says(t, "hello")
	m := b.next(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Transport.Send(ctx, m.Reply("too late")); err == nil || message.IsPermanent(err) {
		t.Errorf("sending with a context that has ended: %v, want an error that is tried again", err)
	}
}

func oddMessages(t *testing.T, b *bundle) {
	b.says(t, "hello")
	m := b.next(t)
	for name, change := range map[string]func(*message.Message){
		"no content":       func(m *message.Message) { m.Content = "" },
		"nobody to":        func(m *message.Message) { m.To = "" },
		"an unknown to":    func(m *message.Message) { m.To = "nobody here" },
		"no from":          func(m *message.Message) { m.From = "" },
		"no UTF-8":         func(m *message.Message) { m.Content = "\xff\xfe\x00" },
		"100 kB":           func(m *message.Message) { m.Content = strings.Repeat("x", 100_000) },
		"many lines":       func(m *message.Message) { m.Content = "\r\n\n\r" },
		"nothing whatever": func(m *message.Message) { *m = *message.New() },
	} {
		reply := m.Reply("text")
		change(reply)
		if _, err := b.Transport.Send(within(t), reply); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: sending took longer than %s", name, Patience)
		}
	}
}

func nothingAfterStop(t *testing.T, b *bundle) {
	b.says(t, "hello")
	m := b.next(t)
	if b.Leave != nil {
		b.Leave()
	}
	b.stop()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	if _, err := b.Transport.Send(ctx, m.Reply("anybody?")); err == nil {
		t.Error("sending after the stop succeeded")
	}
}

func stopsWithoutBroker(t *testing.T, b *bundle) {
	b.says(t, "the first")
	b.next(t)
	b.asked(t)
	release := b.publisher.Hold()
	defer release()
	told := make(chan error, 1)
	ctx := within(t)
	go func() { told <- b.Say(ctx, "never received") }()
	b.asked(t)
	b.stop() // fails the test when it takes longer than Patience
	if err := <-told; err == nil && !b.Unacknowledged {
		t.Error("the outside was told that a message was accepted that the broker does not have")
	}
}

func runsAgain(t *testing.T, b *bundle) {
	b.stop()
	b.stop = Start(t, b.Transport, b.publisher)
	b.says(t, "hello again")
	if m := b.next(t); m.Content != "hello again" {
		t.Errorf("received %q", m.Content)
	}
}
