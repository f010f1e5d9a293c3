package routers

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// simulate is a dispatcher that joins smpp to app and other by a router, and
// says where an arrival goes.
func simulate(t *testing.T, router dispatcher.Router, change func(*dispatcher.Options)) func(dispatcher.Arrival) ([]dispatcher.Target, error) {
	t.Helper()
	opts := dispatcher.DefaultOptions()
	opts.Transports, opts.Exposed = options.Names{"smpp"}, options.Names{"app", "other"}
	if change != nil {
		change(&opts)
	}
	if err := opts.Validate(); err != nil {
		t.Fatal(err)
	}
	deps := worker.Dependencies{Name: "join", State: newState(t), Logger: slog.New(slog.DiscardHandler)}
	s, err := dispatcher.NewSimulator(t.Context(), deps, opts, router, dispatcher.Conditions{})
	if err != nil {
		t.Fatal(err)
	}
	return func(a dispatcher.Arrival) ([]dispatcher.Target, error) {
		decision, err := s.Decide(context.Background(), &a)
		return decision.Targets, err
	}
}

var joined = dispatcher.Names{Transports: []string{"smpp"}, Exposed: []string{"app", "other"}}

// Receipts of messages that another dispatcher sent, as after a cutover: nothing
// tells whose they are, and the file says what follows.
func TestEventsWithoutSender(t *testing.T) {
	for name, router := range map[string]dispatcher.Router{
		"simple":          mustLoad(t, NewSimple(), joined, worker.Env{}, "route_mappings: {smpp: [app, other]}"),
		"to_addr":         mustLoad(t, NewToAddr(), joined, worker.Env{}, "toaddr_mappings: {app: '1', other: '2'}"),
		"content_keyword": mustLoad(t, NewContentKeyword(), joined, worker.Env{}, "keyword_mappings: {app: a, other: b}"),
	} {
		for option, want := range map[string]string{"": "", "dead_letter": "", "all": "app other", "other": "other"} {
			decide := simulate(t, router, func(o *dispatcher.Options) {
				if option != "" {
					o.EventsWithoutSender = option
				}
			})
			targets, err := decide(event("smpp", "smpp"))
			var got []string
			for _, target := range targets {
				got = append(got, target.Connector)
				if target.Envelope.Flow != message.EventFlow || target.Rule != "events_without_sender" {
					t.Errorf("%s: %+v", name, target)
				}
			}
			if strings.Join(got, " ") != want || (want == "") != (err != nil && message.IsPermanent(err)) {
				t.Errorf("%s with events_without_sender %q: to %v, %v", name, option, got, err)
			}
		}
	}
	for _, wrong := range []string{"", "oter", "smpp"} {
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed, opts.EventsWithoutSender = options.Names{"smpp"}, options.Names{"app", "other"}, wrong
		if err := opts.Validate(); err == nil || !strings.Contains(err.Error(), "events_without_sender") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// The dialler of a USSD code that no route takes is answered, and the session
// ends; a text message is not.
func TestNoRouteReply(t *testing.T) {
	router := mustLoad(t, NewToAddr(), joined, worker.Env{}, "toaddr_mappings: {app: '999'}")
	reply := func(o *dispatcher.Options) { o.NoRouteReply = "This service is not available." }
	dialled := userMessage(message.Inbound, "smpp", "smpp", "")
	dialled.Message.SessionEvent = message.SessionNew
	decide := simulate(t, router, reply)
	targets, err := decide(dialled)
	if err != nil || len(targets) != 1 {
		t.Fatalf("%v, %v", targets, err)
	}
	answer := targets[0].Envelope
	if answer.Flow != message.Outbound || answer.Connector != "smpp" || answer.Message.Content != "This service is not available." ||
		answer.Message.SessionEvent != message.SessionClose || answer.Message.InReplyTo != dialled.Message.ID || answer.Message.To != dialled.Message.From {
		t.Errorf("answered %s", answer.Encode())
	}
	again, _ := decide(dialled)
	if again[0].Envelope.Message.ID != answer.Message.ID {
		t.Error("handled again, the answer has another message_id")
	}
	for name, change := range map[string]func(m *message.Message){
		"a text message":         func(m *message.Message) { m.SessionEvent = message.SessionNone },
		"a session that is over": func(m *message.Message) { m.SessionEvent = message.SessionClose },
	} {
		other := userMessage(message.Inbound, "smpp", "smpp", "hi")
		change(other.Message)
		if targets, err := decide(other); err == nil {
			t.Errorf("%s: %v", name, targets)
		}
	}
	if targets, err := simulate(t, router, nil)(dialled); err == nil {
		t.Errorf("without the option: %v", targets)
	}
}
