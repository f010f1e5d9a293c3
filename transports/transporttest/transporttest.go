package transporttest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/message"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/worker"
)

// Outside is a transport under test and a person who speaks to it. What is nil or
// false below Hear is what a protocol does not have.
type Outside struct {
	// Transport is made and configured, and not provisioned: the suite does it. It may
	// be run again after it has stopped.
	Transport transports.Transport
	// Say has the person send a text. It returns nil once the outside was told
	// that the text is accepted, and an error when it was told otherwise, or
	// ctx ends first. Nil: nobody speaks, as to a sink.
	Say func(ctx context.Context, text string) error
	// Hear is the next text that the person gets. Nil: nobody hears.
	Hear func(ctx context.Context) (string, error)
	// Leave has the person go, so that nothing of theirs is left running. It is
	// called before the transport stops, maybe twice.
	Leave func()
	// Texts are what the person and the transport say where any text is not taken; nil
	// is any.
	Texts []string
	// Now is the outside's clock, which signatures carry; nil is the present.
	Now func() time.Time
	// Unacknowledged says that the protocol has no way to accept a text (as
	// telnet): Say then returns when it is written.
	Unacknowledged bool
	// Sessions says that the person's coming and going are messages too.
	Sessions bool
	// Asks says that each text has one answer at most (as HTTP requests): Say returns
	// when the text is on its way, Hear is the answer to the oldest text.
	Asks bool
	// Repeat has the outside deliver once more what it delivered last, as when it did
	// not get the answer. Its error is Say's.
	Repeat func(ctx context.Context) error
	// Meet has the outside meet the next message with an outcome, and those after it
	// with Sent. An unknown one must end in a nack within Patience.
	Meet map[Outcome]func()
	// Stall has the outside hold its answer to what it is sent, until release is called.
	Stall func() (release func())
	// Break takes the outside away, and Mend brings it back.
	Break, Mend func()
	// Secrets are the texts of the configuration that must appear nowhere: in no log
	// line, status, event, message or error, plain, in a URL or in base64.
	Secrets []string
}

// Run runs what package transports promises of every transport on what open
// opens: a new one for each test, with its own ports and names.
func Run(t *testing.T, open func(t *testing.T) *Outside) {
	var has Outside
	t.Run("it can be made", func(t *testing.T) {
		o := open(t)
		if has = *o; o.Leave != nil {
			o.Leave()
		}
	})
	for _, test := range []struct {
		name  string
		needs string // what the outside must have
		run   func(*testing.T, *bundle)
	}{
		{"it says how it is", "", saysHowItIs},
		{"and when the outside goes and comes", "break", outsideGoesAndComes},
		{"what a person says is received", "say", isReceived},
		{"in its order", "say", inOrder},
		{"any text arrives as it is", "say", anyText},
		{"what is sent to a person is heard", "say", isHeard},
		{"the outside is told only after the broker has it", "say", toldAfterwards},
		{"the outside is not told that what failed is accepted", "say", notTold},
		{"one failure is not the end", "say", failureIsNotTheEnd},
		{"what is delivered again is one message", "repeat", repeatedIsOne},
		{"also while the broker is away", "repeat", repeatedWhileHeld},
		{"sending ends with its context", "", sendEnds},
		{"odd messages are sent or refused, without a panic", "", oddMessages},
		{"after a stop nothing is sent", "", nothingAfterStop},
		{"a stop does not wait for a broker that is away", "say", stopsWithoutBroker},
		{"it runs again after a stop", "", runsAgain},
	} {
		if !has.has(test.needs) {
			continue
		}
		run(t, test.name, open, func(t *testing.T, o *Outside, env worker.Dependencies) {
			env.Now = o.Now
			if err := worker.Provision(t.Context(), o.Transport, env.Env()); err != nil {
				t.Fatal(err)
			}
			b := &bundle{Outside: o, publisher: NewPublisher()}
			b.stop = Start(t, o.Transport, b.publisher)
			defer func() {
				b.stop() // runsAgain has another one
				if err := worker.Close(o.Transport); err != nil {
					t.Error(err)
				}
				hides(t, o.Secrets, b.publisher.printed())
			}()
			if o.Leave != nil {
				defer o.Leave()
			}
			test.run(t, b)
		})
	}
	runOutcomes(t, open, &has)
}

// has says whether the outside has what a test needs.
func (o *Outside) has(what string) bool {
	switch what {
	case "say":
		return o.Say != nil
	case "repeat":
		return o.Repeat != nil
	case "break":
		return o.Break != nil
	}
	return true
}

// run runs one test, and looks whether it leaves something running or prints a secret.
func run(t *testing.T, name string, open func(*testing.T) *Outside, test func(*testing.T, *Outside, worker.Dependencies)) {
	t.Run(name, func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		state := memory.New()
		env, printed := dependencies(t, state)
		var secrets []string
		t.Run("run", func(t *testing.T) { // its clean-up ends before what follows
			o := open(t)
			secrets = o.Secrets
			test(t, o, env)
		})
		_ = state.Close()
		goleak.VerifyNone(t, before)
		hides(t, secrets, printed())
	})
}

// hides checks that none of the secrets is in a text, as it is or as it travels.
func hides(t *testing.T, secrets []string, text string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)),
		} {
			if strings.Contains(text, form) {
				t.Errorf("a secret was printed: %s", form)
			}
		}
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

// message is one to the person: an answer, where people speak.
func (b *bundle) message(t *testing.T, text string) *message.Message {
	t.Helper()
	if b.Say == nil {
		return unasked(text)
	}
	b.says(t, "hello")
	return b.next(t).Reply(text)
}

func saysHowItIs(t *testing.T, b *bundle) {
	b.awaitHealth(t, message.OK)
}

// awaitHealth waits for a status of a health, and checks those on the way.
func (b *bundle) awaitHealth(t *testing.T, want message.Health) {
	t.Helper()
	for {
		s := b.publisher.NextStatus(t)
		if s.Component == "" || s.Type == "" || s.Text == "" {
			t.Errorf("something is missing: %s", s.Encode())
		}
		if s.Health == want || want == message.Down && s.Health == message.Degraded {
			return
		}
	}
}

func outsideGoesAndComes(t *testing.T, b *bundle) {
	b.awaitHealth(t, message.OK)
	b.Break()
	b.awaitHealth(t, message.Down)
	b.Mend()
	b.awaitHealth(t, message.OK)
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
		if !b.Asks { // else each waits for the answer to the one before
			b.says(t, fmt.Sprint("line ", i))
		}
	}
	seen := map[string]bool{}
	for i := range many {
		if b.Asks {
			b.says(t, fmt.Sprint("line ", i))
		}
		m := b.next(t)
		if want := fmt.Sprint("line ", i); m.Content != want {
			t.Fatalf("received %q, want %q", m.Content, want)
		}
		if seen[m.ID] {
			t.Fatalf("two messages have the ID %s", m.ID)
		}
		seen[m.ID] = true
		if b.Asks {
			b.answers(t, m, "and?")
		}
	}
}

// answers sends an answer to m, and checks that it is heard.
func (b *bundle) answers(t *testing.T, m *message.Message, text string) {
	t.Helper()
	if _, err := b.Transport.Send(within(t), m.Reply(text)); err != nil {
		t.Fatalf("sending %.40q: %v", text, err)
	}
	b.hears(t, text)
}

func anyText(t *testing.T, b *bundle) {
	texts := b.Texts
	if texts == nil {
		texts = []string{
			"naïve ☃ سلام 🎲", "2013-01-01 10:00:00", `{"content": "\u0000"}`, "<b>&amp;</b>", strings.Repeat("long ", 200) + "end",
		}
	}
	for _, text := range texts {
		b.says(t, text)
		m := b.next(t)
		if m.Content != text {
			t.Errorf("received %q, want %q", m.Content, text)
		}
		b.answers(t, m, text)
	}
}

func isHeard(t *testing.T, b *bundle) {
	b.says(t, "hello")
	m := b.next(t)
	b.answers(t, m, "one")
	if !b.Asks {
		b.answers(t, m, "two")
	}
}

// settle is how long something that must not happen is waited for.
const settle = 50 * time.Millisecond

func toldAfterwards(t *testing.T, b *bundle) {
	b.says(t, "the first")
	b.next(t)
	b.asked(t)
	release := b.publisher.Hold()
	defer release()
	told := make(chan error, 1)
	ctx := within(t)
	go func() { told <- b.Say(ctx, "held") }()
	if m := b.asked(t); m.Content != "held" {
		t.Fatalf("asked to receive %q", m.Content)
	}
	if !b.Unacknowledged && !b.Asks {
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
	if m := b.next(t); m.Content != "held" {
		t.Errorf("received %q", m.Content)
	}
}

var errRefused = errors.New("the broker refused the body")

func notTold(t *testing.T, b *bundle) {
	b.says(t, "the first")
	b.next(t)
	b.asked(t)
	b.publisher.Refuse(errRefused)
	ctx, cancel := context.WithCancel(within(t))
	told := make(chan error, 1)
	go func() { told <- b.Say(ctx, "lost") }()
	b.asked(t)
	select {
	case err := <-told:
		if err == nil && !b.Unacknowledged && !b.Asks {
			t.Error("the outside was told that a message was accepted that the broker does not have")
		}
	case <-time.After(settle): // it is tried again, and the outside waits
		cancel()
		<-told
	}
	cancel()
}

func failureIsNotTheEnd(t *testing.T, b *bundle) {
	b.says(t, "the first")
	b.next(t)
	b.asked(t)
	b.publisher.Refuse(errRefused)
	ctx := within(t)
	told := make(chan error, 1)
	go func() { told <- b.Say(ctx, "lost") }()
	b.asked(t)
	b.publisher.Refuse(nil)
	<-told // an error, or it was tried again
	b.says(t, "after it")
	m := b.next(t)
	if m.Content == "lost" {
		m = b.next(t)
	}
	if m.Content != "after it" {
		t.Errorf("received %q", m.Content)
	}
}

// isOneWith checks that what was delivered again made no message, or the first once
// more, marked as what may have been handled.
func (b *bundle) isOneWith(t *testing.T, first *message.Message) {
	t.Helper()
	b.says(t, "the next")
	for {
		switch m := b.next(t); {
		case m.Content == "the next":
			return
		case m.ID != first.ID || !message.Again(&m.RoutingMetadata):
			t.Fatalf("it made a second message: %s", m.Encode())
		}
	}
}

func repeatedIsOne(t *testing.T, b *bundle) {
	b.says(t, "hello")
	first := b.next(t)
	for range 2 {
		if err := b.Repeat(within(t)); err != nil {
			t.Errorf("the outside was told %v when it delivered again what was accepted", err)
		}
	}
	b.isOneWith(t, first)
}

func repeatedWhileHeld(t *testing.T, b *bundle) {
	release := b.publisher.Hold()
	defer release()
	told := make(chan error, 2)
	ctx := within(t)
	go func() { told <- b.Say(ctx, "hello") }()
	b.asked(t)
	go func() { told <- b.Repeat(ctx) }()
	time.Sleep(settle)
	release()
	for range 2 {
		if err := <-told; err != nil {
			t.Errorf("the outside was told %v", err)
		}
	}
	b.isOneWith(t, b.next(t))
}

func sendEnds(t *testing.T, b *bundle) {
	m := b.message(t, "too late")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Transport.Send(ctx, m); err == nil || message.IsPermanent(err) {
		t.Errorf("sending with a context that has ended: %v, want an error that is tried again", err)
	}
}

func oddMessages(t *testing.T, b *bundle) {
	m := b.message(t, "text")
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
		reply := m.Clone()
		reply.ID = message.NewID()
		change(reply)
		if _, err := b.Transport.Send(within(t), reply); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: sending took longer than %s", name, Patience)
		}
	}
}

func nothingAfterStop(t *testing.T, b *bundle) {
	m := b.message(t, "anybody?")
	if b.Leave != nil {
		b.Leave()
	}
	b.stop()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	if _, err := b.Transport.Send(ctx, m); err == nil {
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
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() { told <- b.Say(ctx, "never received") }()
	b.asked(t)
	b.stop() // fails the test when it takes longer than Patience
	time.AfterFunc(settle, cancel)
	if err := <-told; err == nil && !b.Unacknowledged && !b.Asks {
		t.Error("the outside was told that a message was accepted that the broker does not have")
	}
}

func runsAgain(t *testing.T, b *bundle) {
	b.awaitHealth(t, message.OK)
	b.stop()
	b.stop = Start(t, b.Transport, b.publisher)
	if b.Say == nil {
		if _, err := b.Transport.Send(within(t), unasked("hello again")); err != nil {
			t.Error(err)
		}
		return
	}
	b.says(t, "hello again")
	if m := b.next(t); m.Content != "hello again" {
		t.Errorf("received %q", m.Content)
	}
}
