package applicationtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/applications"
	"switchboard/applications/applicationtest"
	"switchboard/applications/guess"
	"switchboard/message"
)

// parrot does a little of everything an application can do.
type parrot struct {
	// Word is what it says.
	Word   string `yaml:"word"`
	events chan *message.Event
}

func (p *parrot) Validate() error {
	if p.Word == "" {
		return errors.New("word is missing")
	}
	return nil
}

func (p *parrot) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	switch m.Content {
	case "fail":
		return nil, errors.New("no more crackers")
	case "panic":
		panic("fire")
	case "hush":
		return nil, nil
	}
	return []*message.Message{m.Reply(p.Word), m.Reply(m.Content, message.EndSession)}, nil
}

func (p *parrot) ReceiveEvent(_ context.Context, e *message.Event) error {
	p.events <- e
	return nil
}

// Run says something by itself after a minute.
func (p *parrot) Run(ctx context.Context, out applications.Sender) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(time.Minute):
		return out.Send(ctx, applicationtest.From("+27820000009", "anybody there?"))
	}
}

func TestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &parrot{Word: "hello", events: make(chan *message.Event, 1)}
		w := applicationtest.Start(t, p)

		w.Talk("+27820000001", "hush", "", "me", "hello\nme")
		if got := w.Says("+27820000001", "you"); !slices.Equal(got, []string{"hello", "you"}) {
			t.Errorf("it said %q", got)
		}
		sent := w.Receive(applicationtest.From("+27820000001", "bye"))
		if last := sent[1]; last.To != "+27820000001" || last.From != applicationtest.Here || last.SessionEvent != message.SessionClose {
			t.Errorf("it sent %s", last.Encode())
		}
		w.Report(message.NewAck(sent[0], "1"))
		if e := <-p.events; e.MessageID != sent[0].ID {
			t.Errorf("it heard of %s", e.MessageID)
		}
		for text, want := range map[string]string{"fail": "no more crackers", "panic": "fire"} {
			if got := w.Fails(applicationtest.From("+27820000002", text)); !strings.Contains(got, want) {
				t.Errorf("it failed with %q", got)
			}
		}
	})
}

func TestApplicationSpeaksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := applicationtest.Start(t, &parrot{Word: "hello"})
		time.Sleep(time.Minute) // of the bubble's time
		if m := w.Sent(); m.Content != "anybody there?" {
			t.Errorf("it sent %s", m.Encode())
		}
	})
}

func TestConfigure(t *testing.T) {
	p := &parrot{}
	if err := applicationtest.Configure(p, "word: hi"); err != nil || p.Word != "hi" {
		t.Errorf("got %q, %v", p.Word, err)
	}
	for yaml, want := range map[string]string{
		"wrod: hi": `did you mean "word"?`,
		"word: ''": "word is missing",
		"word: [":  "no YAML",
	} {
		if err := applicationtest.Configure(&parrot{}, yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", yaml, err)
		}
	}
}

// The state store is there, outside of a bubble too.
func TestState(t *testing.T) {
	w := applicationtest.Start(t, guess.New())
	first := w.Says("+27820000001", "hello")
	if again := w.Says("+27820000001", "guess?"); len(first) != 1 || len(again) != 1 || first[0] == again[0] {
		t.Errorf("it said %q, then %q", first, again)
	}
}
