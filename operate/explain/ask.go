package explain

import (
	"context"
	"errors"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/worker"
)

// Answer is where a message goes, and what would come back.
type Answer struct {
	// Sent is what the middleware of the transport or application that sends it
	// changed.
	Sent []Change `json:"sent,omitempty"`
	// Refused is why that middleware refuses it.
	Refused string `json:"refused,omitempty"`
	Message *Hop   `json:"message,omitempty"`
	// Replies are an answer's way back from each end of an inbound message.
	Replies []Hop `json:"replies,omitempty"`
	// Events are an ack's way back from each end of what goes out: the message
	// itself, or the replies.
	Events []Hop `json:"events,omitempty"`
}

// replyText is what an application is taken to answer.
const replyText = "an answer"

// Ask follows a message, the replies to it and the events about it.
func (f *Fleet) Ask(ctx context.Context, q Question) (Answer, error) {
	if err := q.Validate(); err != nil {
		return Answer{}, err
	}
	if err := q.settle(f); err != nil {
		return Answer{}, err
	}
	var answer Answer
	e := &message.Envelope{Flow: q.Flow, Connector: q.Transport, Message: q.message()}
	switch q.Flow {
	case message.Outbound:
		e.Connector = q.Application
	case message.EventFlow:
		e = f.aboutSent(ctx, &q)
	}
	before := e.Encode()
	if err := f.send(ctx, e); err != nil {
		answer.Refused = err.Error()
		return answer, nil
	}
	answer.Sent = changes(before, e.Encode())
	hop := f.trace(ctx, e)
	answer.Message = &hop
	answer.Replies = f.replies(ctx, hop)
	for _, out := range append([]Hop{hop}, answer.Replies...) {
		answer.Events = append(answer.Events, f.events(ctx, out)...)
	}
	return answer, nil
}

// send passes what leaves a transport or application through its middleware.
func (f *Fleet) send(ctx context.Context, e *message.Envelope) error {
	kind := fleet.KindTransport
	if e.Flow == message.Outbound {
		kind = fleet.KindApplication
	}
	m := f.at(kind, e.Connector)
	if m == nil {
		return nil
	}
	return m.stack.Publish(ctx, e, keep(e))
}

// keep takes over what middleware made of e.
func keep(e *message.Envelope) worker.Handler {
	return func(_ context.Context, made *message.Envelope) error {
		*e = *made
		return nil
	}
}

// aboutSent makes the event of a question: about a message its application has
// just sent, or one that nobody knows.
func (f *Fleet) aboutSent(ctx context.Context, q *Question) *message.Envelope {
	sent := q.message()
	if q.Application != "" {
		out := f.trace(ctx, &message.Envelope{Flow: message.Outbound, Connector: q.Application, Message: sent})
		for _, end := range out.Ends() {
			if end.Hop.Connector == q.Transport && end.Hop.Flow == message.Outbound {
				sent = end.Hop.Body.Message
			}
		}
	}
	return eventOn(q.Transport, q.event(sent))
}

func eventOn(transport string, e *message.Event) *message.Envelope {
	e.TransportName = transport
	return &message.Envelope{Flow: message.EventFlow, Connector: transport, Event: e}
}

func (f *Fleet) replies(ctx context.Context, hop Hop) (replies []Hop) {
	for _, end := range hop.Ends() {
		if end.Hop.Flow != message.Inbound || !end.arrives() {
			continue
		}
		e := &message.Envelope{Flow: message.Outbound, Connector: end.Hop.Connector, Message: end.Hop.Body.Message.Reply(replyText)}
		if f.send(ctx, e) == nil {
			replies = append(replies, f.trace(ctx, e))
		}
	}
	return replies
}

func (f *Fleet) events(ctx context.Context, hop Hop) (events []Hop) {
	for _, end := range hop.Ends() {
		if end.Hop.Flow != message.Outbound || !end.arrives() {
			continue
		}
		m := end.Hop.Body.Message
		e := eventOn(end.Hop.Connector, message.NewAck(m, m.ID))
		if f.send(ctx, e) == nil {
			events = append(events, f.trace(ctx, e))
		}
	}
	return events
}

// ErrStuck says that a worker on its way dead-letters the message.
var ErrStuck = errors.New("the message does not get there")

// Stuck is ErrStuck when the message itself is refused or dead-lettered.
func (a Answer) Stuck() error {
	if a.Message == nil {
		return ErrStuck
	}
	for _, end := range a.Message.Ends() {
		if end.Worker != nil && end.Worker.Error != "" {
			return ErrStuck
		}
	}
	return nil
}
