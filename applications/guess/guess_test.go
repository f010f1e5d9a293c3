package guess

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/applications"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/store/memory"
)

// open makes a game that thinks of the given numbers, one after the other.
func open(t *testing.T, state store.State, numbers ...int) *Application {
	t.Helper()
	a := New()
	a.think = func(int, int) int {
		if len(numbers) == 0 {
			t.Fatal("the game thinks of more numbers than the test expected")
		}
		number := numbers[0]
		numbers = numbers[1:]
		return number
	}
	if err := a.Provision(t.Context(), applications.Env{Name: "guess", State: state, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	return a
}

func newState(t *testing.T) store.State {
	t.Helper()
	state := memory.New()
	t.Cleanup(func() { _ = state.Close() })
	return state
}

// says makes what a person sends: "new:", "close:" or "resume:" before the text
// is the session event.
func says(text string) *message.Message {
	m := message.New()
	m.From, m.To, m.TransportName, m.Content = "+12025550101", "8080", "sms", text
	for _, event := range []message.SessionEvent{message.SessionNew, message.SessionResume, message.SessionClose} {
		if rest, found := strings.CutPrefix(text, string(event)+":"); found {
			m.Content, m.SessionEvent = rest, event
		}
	}
	return m
}

// answer is what the game replies; "(end)" after it says that the session ends.
func answer(t *testing.T, a *Application, m *message.Message) string {
	t.Helper()
	replies, err := a.Receive(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case len(replies) == 0:
		return ""
	case len(replies) > 1:
		t.Fatalf("got %d replies", len(replies))
	case replies[0].To != m.From || replies[0].InReplyTo != m.ID:
		t.Fatalf("got the reply %s", replies[0].Encode())
	case replies[0].SessionEvent == message.SessionClose:
		return replies[0].Content + " (end)"
	}
	return replies[0].Content
}

func TestConversations(t *testing.T) {
	for _, c := range []struct {
		what    string
		numbers []int
		talk    []string // what the person sends, what the game answers, …
	}{
		{"a game by SMS, without a session", []int{42}, []string{
			"hello", `I am thinking of a number between 1 and 100. Which one? Send a number to guess, "new" for another number, "quit" to stop.`,
			"90", "90 is far too high. It is between 1 and 89.",
			"20", "20 is too low. It is between 21 and 89.",
			"50", "50 is a bit too high. It is between 21 and 49.",
			"41", "41 is only just too low. It is between 42 and 49.",
			"42!", `Yes, it is 42! You needed 5 guesses. Again? Send "yes" or "quit".`,
			"no", "Goodbye! You have found 1 number, with 5 guesses at best. (end)",
		}},
		{"a game in a session, as by telnet or USSD", []int{7}, []string{
			"new:", `I am thinking of a number between 1 and 100. Which one? Send a number to guess, "new" for another number, "quit" to stop.`,
			"resume:7", `Yes, it is 7! You needed 1 guess. Again? Send "yes" or "quit".`,
			"resume:QUIT", "Goodbye! You have found 1 number, with 1 guess at best. (end)",
			"close:", "",
		}},
		{"the game outlasts its session", []int{42}, []string{
			"new:*120*5#", `I am thinking of a number between 1 and 100. Which one? Send a number to guess, "new" for another number, "quit" to stop.`,
			"resume:50", "50 is a bit too high. It is between 1 and 49.",
			"close:", "",
			"new:*120*5#", "Welcome back! You have made 1 guess. It is between 1 and 49.",
			"resume:42", `Yes, it is 42! You needed 2 guesses. Again? Send "yes" or "quit".`,
		}},
		{"who guesses first is answered", []int{42}, []string{
			"50", "50 is a bit too high. It is between 1 and 49.",
			"quit", "Goodbye! I keep your number in mind. (end)",
			"40", "40 is only just too low. It is between 41 and 49.",
		}},
		{"what could be known, what cannot be, what is no guess", []int{42}, []string{
			"50", "50 is a bit too high. It is between 1 and 49.",
			"60", "You could have known that it is not 60! It is between 1 and 49.",
			"0", "The number is between 1 and 100.",
			"1000000000000000000000000", `Send a number to guess, "new" for another number, "quit" to stop. It is between 1 and 49.`,
			"?", `Send a number to guess, "new" for another number, "quit" to stop. It is between 1 and 49.`,
			"41", "41 is only just too low. It is between 42 and 49.",
			"43", "43 is only just too high. There is only one number left!",
		}},
		{"one game after the other", []int{10, 20, 30, 40}, []string{
			"50", "50 is far too high. It is between 1 and 49.",
			"10", `Yes, it is 10! You needed 2 guesses. Again? Send "yes" or "quit".`,
			"20", `Yes, it is 20! You needed 1 guess, your best so far. Again? Send "yes" or "quit".`,
			"what?", `Send a number to guess, "new" for another number, "quit" to stop. Send "yes" to play again.`,
			"Yes", "I am thinking of a number between 1 and 100. Which one?",
			"31", "31 is only just too high. It is between 1 and 30.",
			"30", `Yes, it is 30! You needed 2 guesses; your best is 1. Again? Send "yes" or "quit".`,
			"new:", "Welcome back! I am thinking of a number between 1 and 100. Which one?",
			"bye", "Goodbye! You have found 3 numbers, with 1 guess at best. (end)",
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			a := open(t, newState(t), c.numbers...)
			for pair := range slices.Chunk(c.talk, 2) {
				if got := answer(t, a, says(pair[0])); got != pair[1] {
					t.Fatalf("to %q\ngot  %s\nwant %s", pair[0], got, pair[1])
				}
			}
		})
	}
}

func TestARestartOrAReplicaGoesOn(t *testing.T) {
	state := newState(t)
	answer(t, open(t, state, 42), says("50"))
	if got := answer(t, open(t, state), says("42")); !strings.HasPrefix(got, "Yes, it is 42! You needed 2 guesses.") {
		t.Errorf("got %s", got)
	}
}

func TestTheSameMessageTwiceIsOneGuess(t *testing.T) {
	a := open(t, newState(t), 42)
	m := says("50")
	first := answer(t, a, m)
	if again := answer(t, a, m); again != first {
		t.Errorf("got %q, then %q", first, again)
	}
	if got := answer(t, a, says("42")); !strings.Contains(got, "You needed 2 guesses") {
		t.Errorf("got %s", got)
	}
}

func TestPeopleAreKeptApart(t *testing.T) {
	a := open(t, newState(t), 42, 7, 8)
	answer(t, a, says("50"))
	for _, change := range []func(*message.Message){
		func(m *message.Message) { m.From = "+12025550102" },
		func(m *message.Message) { m.TransportName = "telnet" },
	} {
		m := says("hello")
		change(m)
		if got := answer(t, a, m); !strings.HasPrefix(got, "I am thinking of a number") {
			t.Errorf("got %s", got)
		}
	}
}

func TestAGameIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := memory.New()
		defer func() { _ = state.Close() }()
		a := open(t, state, 42, 7)
		answer(t, a, says("50"))
		time.Sleep(a.Remember.Std() + time.Second) // the bubble's clock, not ours
		if got := answer(t, a, says("hello")); !strings.HasPrefix(got, "I am thinking of a number") {
			t.Errorf("got %s", got)
		}
	})
}

func TestOtherOptionsBeginAnew(t *testing.T) {
	state := newState(t)
	answer(t, open(t, state, 42), says("50"))
	a := open(t, state, 5)
	a.Highest = 10
	if got := answer(t, a, says("6")); got != "6 is only just too high. It is between 1 and 5." {
		t.Errorf("got %s", got)
	}
}

// broken is a state that is out of reach.
type broken struct{ store.State }

func (broken) Get(context.Context, ...string) (map[string]string, error) {
	return nil, errors.New("the database is away")
}

func TestAStateOutOfReachIsTriedAgain(t *testing.T) {
	replies, err := open(t, broken{}).Receive(t.Context(), says("50"))
	if err == nil || message.IsPermanent(err) || len(replies) > 0 {
		t.Errorf("got %d replies and %v, want an error that is tried again", len(replies), err)
	}
}

func TestEveryNumberCanBeFound(t *testing.T) {
	a := New()
	a.Lowest, a.Highest = 3, 6
	if err := a.Provision(t.Context(), applications.Env{State: newState(t)}); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		g := new(game)
		if a.begin(g); g.Secret < 3 || g.Secret > 6 {
			t.Fatalf("thought of %d", g.Secret)
		}
		for guess := 3; !g.Over; guess++ {
			if a.guess(g, guess); guess > 6 {
				t.Fatalf("%d cannot be found", g.Secret)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"highest: 10":           "",
		"lowest: 0\nhighest: 1": "",
		"lowest: -1":            "lowest: must not be negative",
		"lowest: 100":           "highest: must be above lowest (100)",
		"highest: 2000000":      "at most 1000000",
		"remember: 0":           "remember: must be above 0",
		"highset: 5":            `did you mean "highest"?`,
	} {
		t.Run(text, func(t *testing.T) {
			a := New()
			doc, err := options.Parse("guess.yaml", []byte(text), func(string) (string, bool) { return "", false })
			if err == nil {
				err = errors.Join(doc.Into(a), doc.Rest())
			}
			err = errors.Join(err, a.Validate())
			if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
