package dispatcher

import (
	"context"
	"strings"

	"switchboard/message"
)

// home is where an outbound message came from, and so where its events go: an
// exposed name, with the endpoint behind a slash where it is not the default
// one (no connector's name has a slash).
type home string

// nowhere is the home of what the dispatcher's own router sent: a reply, or a
// message passed from one transport to another.
const nowhere = home(message.Nowhere)

// homeOf is the home of what goes out because of an arrival.
func homeOf(e *message.Envelope) home {
	if e.Flow != message.Outbound {
		return nowhere
	}
	if endpoint := e.Message.Endpoint(); endpoint != message.DefaultEndpoint {
		return home(e.Connector + "/" + endpoint)
	}
	return home(e.Connector)
}

func (h home) split() (connector, endpoint string) {
	connector, endpoint, named := strings.Cut(string(h), "/")
	if !named {
		endpoint = message.DefaultEndpoint
	}
	return connector, endpoint
}

// Returner is the optional ability of a router to change an event on its way
// home, as it changes inbound messages (their transport_name, say). The event's
// application is known already: Return must not choose another.
type Returner interface {
	Return(ctx context.Context, a Arrival, exposed string) (Target, error)
}

// bringHome makes the target of an event whose home is known; why says from
// where.
func (p *plan) bringHome(ctx context.Context, e *message.Envelope, h home, why string) ([]Target, error) {
	if h == nowhere {
		return nil, message.Discard("no application sent the message")
	}
	connector, endpoint := h.split()
	if e.Event.Endpoint() != endpoint {
		e.Event.SetEndpoint(endpoint)
	}
	if r, changes := p.router.(Returner); changes {
		t, err := r.Return(ctx, *e, connector)
		t.Rule = why
		return []Target{t}, err
	}
	return []Target{{Connector: connector, Rule: why}}, nil
}
