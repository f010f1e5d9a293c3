package xmpp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/xmpp"
)

const (
	// maxResends is how often unknown_policy resend sends a message again.
	maxResends = 3
	// roomTimeout is how long a room may take to let us in, or to show a message.
	roomTimeout = 30 * time.Second
)

// errUnknown is a message of which nobody knows whether the server has it.
var errUnknown = errors.New("it is unknown whether the XMPP server has the message")

// outgoing is a message on its way.
type outgoing struct {
	row    row
	id     string // of the stanza
	to     xmpp.JID
	room   bool
	stanza *xmpp.Element
	size   int           // of the stanza, in bytes
	result chan error    // nil once the server, or the room, has it
	over   chan struct{} // closed when what became of it is recorded
}

// settle says what became of it; the first word counts.
func (o *outgoing) settle(err error) {
	select {
	case o.result <- err:
	default:
	}
}

func (r *run) send(ctx context.Context, m *message.Message, again bool) (id string, err error) {
	out, err := r.compose(m)
	if err != nil {
		return "", message.Permanent(err)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if again {
		if known, err := r.sent.look(ctx, out); known || err != nil {
			return out.id, err
		}
	} else if err := r.loops.check(m); err != nil {
		r.statuses.Tell("loop", message.Degraded, "loop", err.Error())
		return "", message.Permanent(err)
	}
	r.sent.begin(out)
	defer r.sent.end(out)
	if out.room {
		if err := r.rooms.awaitJoined(ctx, out.to); err != nil {
			return "", err
		}
	}
	for resends := 0; ; resends++ {
		err = r.deliver(ctx, out)
		if !errors.Is(err, errUnknown) {
			break
		}
		r.metrics.unknown.Inc()
		if r.options.UnknownPolicy != transports.UnknownResend || resends == maxResends || ctx.Err() != nil {
			return "", r.sent.unknown(out, err)
		}
	}
	if err != nil {
		return "", err
	}
	return out.id, r.sent.accepted(out)
}

// deliver gives a stanza to the session, and waits until it is settled.
func (r *run) deliver(ctx context.Context, out *outgoing) error {
	var s *xmpp.Session
	for {
		var err error
		if s, err = r.await(ctx, s); err != nil {
			return err
		}
		err = s.Send(out.stanza, func(err error) {
			switch {
			case xmpp.IsViolation(err) && out.size > xmpp.LeastStanza:
				out.settle(message.Permanent(fmt.Errorf("the XMPP server takes no stanza of %d bytes; lower max_stanza_bytes: %w", out.size, err)))
			case err != nil:
				out.settle(fmt.Errorf("%w: %w", errUnknown, err))
			case !out.room:
				out.settle(nil)
			}
		})
		if err == nil {
			break
		}
	}
	late := (<-chan time.Time)(nil)
	if out.room { // the server's word is not the room's
		timer := time.NewTimer(roomTimeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case err := <-out.result:
		return err
	case <-late:
		return fmt.Errorf("%w: the room did not show it within %s", errUnknown, roomTimeout)
	case <-ctx.Done():
		return fmt.Errorf("%w: there was no time to wait for the answer", errUnknown)
	}
}

// compose makes the stanza of a message.
func (r *run) compose(m *message.Message) (*outgoing, error) {
	address, kind := m.To, "chat"
	if m.To == "" && m.Group != "" {
		address, kind = m.Group, "groupchat"
	}
	to, err := xmpp.ParseJID(address)
	if err != nil {
		return nil, fmt.Errorf("to_addr: %w", err)
	}
	from, err := r.from(m.From)
	if err != nil {
		return nil, err
	}
	if m.Content == "" {
		return nil, errors.New("the message has no content, and XMPP shows none")
	}
	id := m.ID
	if attempt := store.Attempt(m); attempt > 1 {
		id += "-" + strconv.Itoa(attempt)
	}
	e := xmpp.New(xmpp.NSClient, "message", xmpp.NewText(xmpp.NSClient, "body", m.Content)).
		Set("type", kind).Set("to", to.String()).Set("from", from).Set("id", id)
	if thread := m.TransportMetadata.Text("xmpp_thread"); thread != "" {
		e.Add(xmpp.NewText(xmpp.NSClient, "thread", thread))
	}
	e.Add(xmpp.New(xmpp.NSStanzaID, "origin-id").Set("id", id))
	if isLink(m.Content) {
		e.Add(xmpp.New(xmpp.NSOOB, "x", xmpp.NewText(xmpp.NSOOB, "url", m.Content)))
	}
	if r.options.Receipts && kind == "chat" {
		e.Add(xmpp.New(xmpp.NSReceipts, "request"))
	}
	size := len(e.AppendTo(nil))
	if size > r.options.MaxStanzaBytes {
		return nil, fmt.Errorf("the message has %d bytes as a stanza; max_stanza_bytes is %d", size, r.options.MaxStanzaBytes)
	}
	return &outgoing{
		row: newRow(m, to.Bare()), id: id, to: to, room: kind == "groupchat", stanza: e, size: size,
		result: make(chan error, 1), over: make(chan struct{}),
	}, nil
}

// from is who a message is from: an account's server knows, a component says it. A
// from_addr without a domain is an address of the component's.
func (r *run) from(addr string) (string, error) {
	if r.options.Component == "" {
		return "", nil
	}
	j, err := xmpp.ParseJID(addr)
	if err == nil && j.Domain == r.jid.Domain {
		return j.String(), nil
	}
	if addr == "" {
		return r.jid.String(), nil
	}
	j, err = xmpp.ParseJID(xmpp.EscapeLocal(addr) + "@" + r.jid.Domain)
	if err != nil {
		return "", fmt.Errorf("from_addr: %w", err)
	}
	return j.String(), nil
}
