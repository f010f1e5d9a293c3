package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"switchboard/applications"
	"switchboard/message"
)

// What people write and what became of messages is posted to the webhook, and leaves its
// queue when the webhook has taken it. A person's messages are posted one after the other,
// and so are a message's events. What the webhook does not take moves to a queue of its own
// (waiting), and all that comes behind it moves there too.

// Accept posts what was received.
func (a *Application) Accept(ctx context.Context, in *applications.Received, done func(error)) {
	r, err := a.current.Get(ctx)
	if err == nil && r.ctx.Err() != nil {
		err = fmt.Errorf("the HTTP API is stopping: %w", context.Canceled)
	}
	switch {
	case err != nil:
		done(err)
	case in.Queue == "":
		done(r.take(ctx, in))
	default:
		r.waitingIn(in.Queue).accept(ctx, in, done)
	}
}

// take posts what comes from the connector, unless something waits before it.
func (r *run) take(ctx context.Context, in *applications.Received) error {
	switch {
	case r.Webhook == nil && in.Message != nil:
		return r.remember(ctx, in.Message)
	case r.Webhook == nil, in.Event != nil && r.Webhook.MessagesOnly:
		return nil
	}
	lane := in.Lane()
	w := r.waiting[queueOf(lane)]
	if w.isEmpty() && !r.slow.has(lane) && r.breaker.isClosed() {
		err := r.deliver(ctx, in)
		switch {
		case errors.Is(err, errLeftAlone):
		case !triedAgain(err):
			return err
		default:
			w.postpone(lane, err)
			r.complain.Do(func() {
				r.log.Warn("the webhook failed; what it did not take is tried again", "message_id", in.ID(), "error", err)
			})
		}
	}
	return w.put(ctx, in)
}

// errLeftAlone returns something to its queue: the breaker has opened while it waited for a
// free request.
var errLeftAlone = fmt.Errorf("the webhook takes nothing for a while: %w", context.Canceled)

// errLost leaves something to the copy that the broker brings again.
var errLost = fmt.Errorf("the broker brings it again: %w", context.Canceled)

// triedAgain says whether an outcome means another attempt.
func triedAgain(err error) bool {
	return err != nil && !message.IsPermanent(err) && !errors.Is(err, context.Canceled)
}

// deliver posts something, and sends the replies that are in the answer.
func (r *run) deliver(ctx context.Context, in *applications.Received) error {
	if in.Lost() {
		return errLost
	}
	if in.Message != nil {
		if err := r.remember(ctx, in.Message); err != nil {
			return err
		}
	}
	leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	answer, err := r.Webhook.Post(ctx, r.web, idOf(in), notice(in))
	leave()
	if errors.Is(err, context.Canceled) {
		return err // it was given up here, which says nothing of the webhook
	}
	r.breaker.note(in.Lane(), err)
	r.metrics.posts.WithLabelValues(outcomeOf(err)).Inc()
	if err != nil || in.Message == nil {
		return err
	}
	if in.Queue != "" { // an earlier answer may have been sent in part
		in.Message.RoutingMetadata.Set(message.AgainKey, true)
	}
	return r.sendReplies(ctx, in.Message, answer)
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "taken"
	case message.IsPermanent(err):
		return "refused"
	}
	return "failed"
}

// enter waits for a free request at the webhook.
func (r *run) enter(ctx context.Context) (leave func(), err error) {
	var taken []chan struct{}
	leave = func() {
		for _, place := range taken {
			<-place
		}
	}
	take := func(places chan struct{}) error {
		select {
		case places <- struct{}{}:
			taken = append(taken, places)
		case <-ctx.Done():
			return ctx.Err()
		}
		if !r.breaker.isClosed() {
			return errLeftAlone
		}
		return nil
	}
	err = take(r.slots)
	if probe := r.breaker.probing(); err == nil && probe != nil {
		err = take(probe)
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// posted is the body of a post.
type posted struct {
	ID        string    `json:"id"`   // of the message or event: the same each time it is posted
	Type      string    `json:"type"` // message or event
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

func idOf(in *applications.Received) string {
	if in.Event != nil {
		return in.Event.ID
	}
	return in.Message.ID
}

func notice(in *applications.Received) []byte {
	p := posted{ID: idOf(in)}
	if m := in.Message; m != nil {
		p.Type, p.Timestamp, p.Data = "message", m.Timestamp, received(m)
	} else {
		p.Type, p.Timestamp, p.Data = "event", in.Event.Timestamp, eventOf(in.Event)
	}
	body, err := json.Marshal(p)
	if err != nil { // metadata that is no JSON cannot have been received
		body = fmt.Appendf(nil, `{"id":%q,"error":%q}`, p.ID, err)
	}
	return body
}

// receivedMessage is a message from a person, as the webhook is told.
type receivedMessage struct {
	ID            string         `json:"id"`
	From          string         `json:"from"`
	To            string         `json:"to"`
	Content       string         `json:"content"`
	SessionEvent  string         `json:"session_event,omitempty"`
	Group         string         `json:"group,omitempty"`
	InReplyTo     string         `json:"in_reply_to,omitempty"`
	Transport     string         `json:"transport,omitempty"`
	TransportType string         `json:"transport_type,omitempty"`
	Provider      string         `json:"provider,omitempty"`
	Endpoint      string         `json:"endpoint"`
	Metadata      message.Object `json:"metadata"`
}

func received(m *message.Message) receivedMessage {
	return receivedMessage{
		ID: m.ID, From: m.From, To: m.To, Content: m.Content, SessionEvent: string(m.SessionEvent), Group: m.Group, InReplyTo: m.InReplyTo,
		Transport: m.TransportName, TransportType: m.TransportType, Provider: m.Provider, Endpoint: m.Endpoint(), Metadata: m.HelperMetadata,
	}
}

// event is what became of a message.
type event struct {
	ID         string    `json:"id"`
	MessageID  string    `json:"message_id"`
	Type       string    `json:"type"`             // ack, nack, delivery_report, …
	Status     string    `json:"status,omitempty"` // of a delivery report
	Reason     string    `json:"reason,omitempty"`
	ProviderID string    `json:"provider_id,omitempty"`
	Transport  string    `json:"transport,omitempty"`
	Date       time.Time `json:"date"`
}

func eventOf(e *message.Event) event {
	return event{
		ID: e.ID, MessageID: e.MessageID, Type: string(e.Type), Status: string(e.DeliveryStatus), Reason: e.NackReason,
		ProviderID: e.SentMessageID, Transport: e.TransportName, Date: e.Timestamp,
	}
}

// sendReplies sends what the webhook answered with. Sent a second time they have the same
// ids. What it answered may be anything: only a JSON object with messages counts.
func (r *run) sendReplies(ctx context.Context, m *message.Message, answer []byte) error {
	var said struct {
		Reply    string     `json:"reply"`
		Messages []outgoing `json:"messages"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return nil
	}
	if said.Reply != "" {
		said.Messages = append([]outgoing{{Content: said.Reply}}, said.Messages...)
	}
	if len(said.Messages) > maxMessages {
		said.Messages = said.Messages[:maxMessages]
	}
	m.NameReplies(r.connector)
	for i := range said.Messages {
		one := &said.Messages[i]
		if one.SendAt != nil {
			continue // openapi.yaml does not have it here
		}
		if one.To == "" && one.ReplyTo == "" {
			one.ReplyTo = m.ID
		}
		reply, err := r.compose(ctx, one, m)
		if err == nil {
			if one.ReplyTo != m.ID {
				again := namer{key: "answer/" + r.connector + "/" + m.ID, again: message.Again(&m.RoutingMetadata)}
				again.name(reply, i)
			}
			err = r.send(ctx, reply)
		}
		if p, wrong := errors.AsType[*problem](err); wrong {
			r.complain.Do(func() { r.log.Warn("a reply in the webhook's answer is not sent", "message_id", m.ID, "error", p) })
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
