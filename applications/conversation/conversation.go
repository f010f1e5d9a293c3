// Package conversation is what applications share that are written in a file: texts
// with values in them, conditions, and what is remembered of each person.
package conversation

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// Output is a message that an application sends: to who wrote, unless To says to
// whom.
type Output struct {
	Content  string `json:"content"`
	End      bool   `json:"end,omitempty"` // the reply is the last of its session
	To       string `json:"to,omitempty"`
	From     string `json:"from,omitempty"`     // default the address that was written to
	Endpoint string `json:"endpoint,omitempty"` // default the one the message came by
}

// Message makes the message, as an answer to m.
func (o Output) Message(m *message.Message) *message.Message {
	r := m.Reply(o.Content)
	if o.End {
		r.SessionEvent = message.SessionClose
	}
	if o.To != "" && o.To != m.From { // another person: not within this one's session
		r.To, r.InReplyTo, r.Group, r.Provider, r.SessionEvent = o.To, "", "", "", message.SessionNone
		r.TransportMetadata = message.Object{}
	}
	if o.From != "" {
		r.From = o.From
	}
	if o.Endpoint != "" {
		r.SetEndpoint(o.Endpoint)
	}
	return r
}

// Messages makes all of them.
func Messages(outputs []Output, m *message.Message) []*message.Message {
	messages := make([]*message.Message, len(outputs))
	for i, o := range outputs {
		messages[i] = o.Message(m)
	}
	return messages
}

// Facts are the values that every text may name.
func Facts(m *message.Message) Values {
	return Values{"from": m.From, "to": m.To, "content": m.Content, "transport": m.TransportName}
}

// Keeper keeps a T of each person. What one message changed and what it was
// answered are stored in one step: a second copy of one of the last maxTurns
// messages changes nothing and gets the same answer.
type Keeper[T any] struct {
	State    store.State
	Remember time.Duration // after the person's last message
	Now      func() time.Time
}

// kept is what is stored of a person.
type kept[T any] struct {
	Turns []turn    `json:"turns"` // the last messages, newest first
	At    time.Time `json:"at"`
	Known T         `json:"known"`
}

// turn is a message that was handled, and its answer.
type turn struct {
	ID      string   `json:"id"`
	Outputs []Output `json:"outputs,omitempty"`
}

// maxTurns is how many of a person's messages are known again: after a connection
// is lost, all that were in flight may come again.
const maxTurns = 20

// Person is the key of who sent a message.
func Person(m *message.Message) string { return "person/" + m.TransportName + "/" + m.From }

// Handle has next look at what is known of a message's sender, change it, and
// answer; also is stored with it.
func (k *Keeper[T]) Handle(ctx context.Context, m *message.Message, next func(known *T) (outputs []Output, also []store.Entry, err error)) ([]*message.Message, error) {
	key := Person(m)
	found, err := k.State.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking up what is known of a person: %w", err)
	}
	var p kept[T]
	if json.Unmarshal([]byte(found[key]), &p) != nil || k.Now().Sub(p.At) > k.Remember {
		p = kept[T]{} // there is nothing, or nothing that this version can read
	}
	for _, t := range p.Turns {
		if t.ID == m.ID {
			return Messages(t.Outputs, m), nil
		}
	}
	outputs, also, err := next(&p.Known)
	if err != nil {
		return nil, err
	}
	p.Turns = append([]turn{{m.ID, outputs}}, p.Turns[:min(len(p.Turns), maxTurns-1)]...)
	p.At = k.Now()
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing what is known of a person: %w", err)
	}
	if err := k.State.Set(ctx, append(also, store.Entry{Key: key, Value: string(text), TTL: k.Remember})...); err != nil {
		return nil, fmt.Errorf("storing what is known of a person: %w", err)
	}
	return Messages(outputs, m), nil
}
