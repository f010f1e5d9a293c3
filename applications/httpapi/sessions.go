package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"switchboard/message"
	"switchboard/store"
)

// What people write is remembered for as long as it may be replied to, and so is that a
// session was closed.

func inboundKey(id string) string { return "inbound/" + id }

// sessionKey names the session that a person's message is part of.
func sessionKey(m *message.Message) string {
	sum := sha256.Sum256([]byte(m.TransportName + "\x00" + m.From + "\x00" + m.To))
	return "session/" + hex.EncodeToString(sum[:16])
}

const (
	sessionOpen   = "open"
	sessionClosed = "closed"
)

// remember remembers a message from a person.
func (r *run) remember(ctx context.Context, m *message.Message) error {
	entries := []store.Entry{{Key: inboundKey(m.ID), Value: string(m.Encode()), TTL: r.ReplyFor.Std()}}
	switch m.SessionEvent {
	case message.SessionNew:
		entries = append(entries, store.Entry{Key: sessionKey(m), Value: sessionOpen, TTL: r.ReplyFor.Std()})
	case message.SessionClose:
		entries = append(entries, store.Entry{Key: sessionKey(m), Value: sessionClosed, TTL: r.ReplyFor.Std()})
	}
	if err := r.state.Set(ctx, entries...); err != nil {
		return fmt.Errorf("remembering a message that may be replied to: %w", err)
	}
	return nil
}

// closeSession remembers that a reply has ended the session of m.
func (r *run) closeSession(ctx context.Context, m *message.Message) error {
	return r.state.Set(ctx, store.Entry{Key: sessionKey(m), Value: sessionClosed, TTL: r.ReplyFor.Std()})
}

// recall finds the message that a reply is to, if it can be replied to.
func (r *run) recall(ctx context.Context, id string) (*message.Message, error) {
	found, err := r.state.Get(ctx, inboundKey(id))
	if err != nil {
		return nil, err
	}
	body, known := found[inboundKey(id)]
	if !known {
		return nil, problems.unknownReply.with(fmt.Sprintf("no message %.64q has come to this application within reply_for (%s)", id, r.ReplyFor.Std()))
	}
	m, err := message.Decode([]byte(body))
	if err != nil {
		return nil, err
	}
	return m, r.checkSession(ctx, m)
}

func (r *run) checkSession(ctx context.Context, m *message.Message) error {
	if m.SessionEvent == message.SessionNone {
		return nil
	}
	found, err := r.state.Get(ctx, sessionKey(m))
	if err != nil {
		return err
	}
	if m.SessionEvent == message.SessionClose || found[sessionKey(m)] == sessionClosed {
		return problems.sessionClosed.with("the person has hung up, or a reply has ended the session")
	}
	return nil
}
