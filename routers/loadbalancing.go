package routers

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// LoadBalancing spreads outbound messages over all transports in turn: Vumi's
// LoadBalancingRouter. A reply goes to the transport its message came by. A
// transport that is down is left out while there is another.
type LoadBalancing struct {
	// ReplyAffinity sends replies to the transport the message came by. Default
	// true. While that one is down another takes them, but only of text
	// messages (transport_type sms): a session lives on its own transport.
	ReplyAffinity bool `yaml:"reply_affinity"`
	// RewriteTransportNames gives inbound messages the exposed name as their
	// transport_name, and outbound ones the transport's. Default true.
	RewriteTransportNames bool `yaml:"rewrite_transport_names"`
	// InboundNames says which exposed names get inbound messages: one or a list.
	// Default: the only one; required where there are several. Example: `sms`.
	InboundNames options.Names `yaml:"inbound_names"`

	transports []string
	exposed    exposed
	health     dispatcher.Health
	turn       atomic.Uint64
}

var (
	_ dispatcher.Router   = (*LoadBalancing)(nil)
	_ dispatcher.Checker  = (*LoadBalancing)(nil)
	_ dispatcher.Returner = (*LoadBalancing)(nil)
)

// NewLoadBalancing is a LoadBalancing with its defaults.
func NewLoadBalancing() *LoadBalancing {
	return &LoadBalancing{ReplyAffinity: true, RewriteTransportNames: true}
}

// Check checks the options against the dispatcher's connectors.
func (r *LoadBalancing) Check(names dispatcher.Names) error {
	r.transports, r.exposed = names.Transports, exposedOf(names)
	if len(r.InboundNames) == 0 {
		if len(names.Exposed) != 1 {
			return options.Fieldf("inbound_names", "is missing; with %d exposed_names (%s) it must say which of them get inbound messages",
				len(names.Exposed), strings.Join(names.Exposed, ", "))
		}
		r.InboundNames = options.Names(names.Exposed)
	}
	var errs []error
	for _, name := range r.InboundNames {
		errs = append(errs, checkTarget(name, "exposed_names", names.Exposed, "inbound_names", name))
	}
	return errors.Join(errs...)
}

// Provision takes the transports' health: those that are down are left out.
func (r *LoadBalancing) Provision(_ context.Context, env dispatcher.Env) error {
	r.health = env.Health()
	return nil
}

// Route spreads outbound messages, and joins inbound ones.
func (r *LoadBalancing) Route(ctx context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	switch a.Flow {
	case message.Outbound:
		return r.outbound(&a), nil
	case message.EventFlow:
		targets, err := r.exposed.event(&a)
		if err == nil {
			targets[0], err = r.Return(ctx, a, targets[0].Connector)
		}
		return targets, err
	}
	targets := make([]dispatcher.Target, len(r.InboundNames))
	for i, name := range r.InboundNames {
		targets[i] = r.inbound(&a, name)
	}
	return targets, nil
}

// Return renames the transport of events as that of messages.
func (r *LoadBalancing) Return(_ context.Context, a dispatcher.Arrival, exposed string) (dispatcher.Target, error) {
	if !r.RewriteTransportNames {
		return ruled("exposed_names", exposed)[0], nil
	}
	return renamed(&a, exposed, exposed, "exposed_names"), nil
}

func (r *LoadBalancing) inbound(a *dispatcher.Arrival, exposed string) dispatcher.Target {
	t := dispatcher.Target{Connector: exposed, Rule: "exposed_names"}
	if !r.ReplyAffinity && !r.RewriteTransportNames {
		return t
	}
	t.Envelope = a.Clone()
	m := t.Envelope.Message
	if r.ReplyAffinity {
		// Vumi notes the message's transport_name, which is another one behind
		// another dispatcher; the connector is what a reply must go to.
		setStack(m, append(stack(m), a.Connector))
	}
	if r.RewriteTransportNames {
		m.TransportName = exposed
	}
	return t
}

func (r *LoadBalancing) outbound(a *dispatcher.Arrival) []dispatcher.Target {
	name, why := "", "transport_names"
	var left []string
	isReply := r.ReplyAffinity && a.Message.InReplyTo != ""
	if isReply {
		if left = stack(a.Message); len(left) > 0 {
			name, left = left[len(left)-1], left[:len(left)-1]
		}
	}
	if !slices.Contains(r.transports, name) || r.leave(name, a.Message) {
		name = r.next()
	} else {
		why = "reply_affinity"
	}
	t := dispatcher.Target{Connector: name, Rule: why}
	if isReply || r.RewriteTransportNames {
		t.Envelope = a.Clone()
	}
	if isReply {
		setStack(t.Envelope.Message, left)
	}
	if r.RewriteTransportNames {
		t.Envelope.Message.TransportName = name
	}
	return one(t)
}

// leave says that a reply must not wait for its transport.
func (r *LoadBalancing) leave(name string, m *message.Message) bool {
	return r.isDown(name) && m.TransportType == "sms" && m.SessionEvent == message.SessionNone
}

func (r *LoadBalancing) isDown(name string) bool {
	return r.health.Of(name) == message.Down
}

// next is the transport whose turn it is among those that are not down, or
// among all when all are.
func (r *LoadBalancing) next() string {
	turn := int((r.turn.Add(1) - 1) % math.MaxInt32)
	up := 0
	for _, name := range r.transports {
		if !r.isDown(name) {
			up++
		}
	}
	if up == 0 || up == len(r.transports) {
		return r.transports[turn%len(r.transports)]
	}
	skip := turn % up
	for _, name := range r.transports {
		if r.isDown(name) {
			continue
		}
		if skip == 0 {
			return name
		}
		skip--
	}
	return r.transports[turn%len(r.transports)] // one went down meanwhile
}

// The transports a message came by, the nearest last, where Vumi's load
// balancer keeps them: helper_metadata.load_balancer.transport_names.
const (
	balancerKey = "load_balancer"
	stackKey    = "transport_names"
)

func stack(m *message.Message) []string {
	var names []string
	balancer := m.HelperMetadata.Object(balancerKey)
	if balancer.Decode(stackKey, &names) != nil {
		return nil // not ours, or malformed
	}
	return names
}

func setStack(m *message.Message, names []string) {
	if len(names) == 0 && m.HelperMetadata.Raw(balancerKey) == "" {
		return
	}
	if names == nil {
		names = []string{}
	}
	balancer := m.HelperMetadata.Object(balancerKey)
	balancer.Set(stackKey, names)
	m.HelperMetadata.Set(balancerKey, balancer)
}
