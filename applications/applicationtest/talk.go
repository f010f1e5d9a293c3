package applicationtest

import (
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// From makes a message that a person sends to Here. Change what the test wants
// otherwise: its SessionEvent, To, Provider, …
func From(person, text string) *message.Message {
	m := message.New()
	m.From, m.To, m.Content = person, Here, text
	m.TransportName, m.TransportType = Connector, "sms"
	return m
}

// Texts are the contents of messages.
func Texts(messages []*message.Message) []string {
	texts := make([]string, len(messages))
	for i, m := range messages {
		texts[i] = m.Content
	}
	return texts
}

// Receive hands the application a message and waits until it is handled. It
// returns what the application sent meanwhile, and ends the test when the
// application failed.
func (w *Worker) Receive(m *message.Message) []*message.Message {
	w.t.Helper()
	sent, failure := w.deliver(m)
	if failure != "" {
		w.t.Fatalf("the application failed over %q from %s: %s", m.Content, m.From, failure)
	}
	return sent
}

// Says is Receive for a text, and returns texts: what a person says and hears.
func (w *Worker) Says(person, text string) []string {
	w.t.Helper()
	return Texts(w.Receive(From(person, text)))
}

// Talk has a conversation: lines are what the person says and what she hears, in
// turn. "" hears nothing; several answers to one message are joined by line
// breaks.
func (w *Worker) Talk(person string, lines ...string) {
	w.t.Helper()
	if len(lines)%2 != 0 {
		w.t.Fatalf("the talk ends with %q, and does not say what is heard then", lines[len(lines)-1])
	}
	for i := 0; i < len(lines); i += 2 {
		if heard := strings.Join(w.Says(person, lines[i]), "\n"); heard != lines[i+1] {
			w.t.Errorf("%q was answered with %q, not with %q", lines[i], heard, lines[i+1])
		}
	}
}

// Fails hands the application a message that it must fail over, and returns the
// error's text.
func (w *Worker) Fails(m *message.Message) string {
	w.t.Helper()
	_, failure := w.deliver(m)
	if failure == "" {
		w.t.Fatalf("the application did not fail over %q from %s", m.Content, m.From)
	}
	return failure
}

// Report hands the application an event (message.NewAck, NewNack,
// NewDeliveryReport of what it sent). It does not wait until it is handled.
func (w *Worker) Report(e *message.Event) {
	w.t.Helper()
	w.publish(&message.Envelope{Flow: message.EventFlow, Connector: Connector, Event: e})
}

// Sent waits for the next message that the application sends unasked.
func (w *Worker) Sent() *message.Message {
	w.t.Helper()
	s := w.next("the application to send something")
	if s.message == nil {
		w.t.Fatal("the application handled a message, and sent nothing")
	}
	return s.message
}

func (w *Worker) deliver(m *message.Message) (sent []*message.Message, failure string) {
	w.t.Helper()
	w.publish(&message.Envelope{Flow: message.Inbound, Connector: Connector, Message: m})
	for {
		s := w.next("the application to handle what it was sent")
		if s.message == nil {
			return sent, s.failure
		}
		sent = append(sent, s.message)
	}
}

func (w *Worker) publish(e *message.Envelope) {
	w.t.Helper()
	if err := w.broker.Publish(w.t.Context(), broker.Publication{Key: e.Key(), Body: e.Encode()}); err != nil {
		w.t.Fatalf("publishing to the application: %v", err)
	}
}

func (w *Worker) next(what string) seen {
	w.t.Helper()
	select {
	case s := <-w.seen:
		return s
	case <-time.After(Patience):
		w.t.Fatalf("waited %s for %s", Patience, what)
		return seen{}
	}
}
