package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/options"
)

// Question is a message, or what became of one, whose way is asked for: as a
// routing test has it in its YAML.
type Question struct {
	// Flow is inbound (from a person), outbound (from an application) or event.
	// Default inbound; outbound where only an application is given.
	Flow message.Flow `yaml:"flow"`
	// Transport is the transport an inbound message or an event comes from, and
	// the transport_name of an outbound one. Where the configuration has only
	// one it need not be named.
	Transport string `yaml:"transport"`
	// Application is the exposed name an outbound message comes from. With an
	// event it says who sent the message the event is about.
	Application string `yaml:"application"`
	// From is from_addr.
	From string `yaml:"from"`
	// To is to_addr.
	To string `yaml:"to"`
	// Content is the text.
	Content string `yaml:"content"`
	// Session is session_event: new, resume or close. Default none.
	Session message.SessionEvent `yaml:"session"`
	// Type is transport_type. Default sms.
	Type string `yaml:"type"`
	// Provider is the network operator. Default none.
	Provider string `yaml:"provider"`
	// Group is the group chat. Default none.
	Group string `yaml:"group"`
	// Endpoint is the endpoint. Default default.
	Endpoint string `yaml:"endpoint"`
	// Event is what an event says: ack, nack or delivery_report. Default ack.
	Event message.EventType `yaml:"event"`
	// Metadata is helper_metadata, where tags are. Default empty.
	Metadata map[string]any `yaml:"helper_metadata"`
}

// Validate checks the question by itself.
func (q *Question) Validate() error {
	if q.Flow == "" {
		q.Flow = message.Inbound
		if q.Application != "" && q.Transport == "" {
			q.Flow = message.Outbound
		}
	}
	var errs []error
	if !slices.Contains([]message.Flow{message.Inbound, message.Outbound, message.EventFlow}, q.Flow) {
		errs = append(errs, options.Fieldf("flow", "is %q; write inbound, outbound or event", q.Flow))
	}
	if q.Flow == message.Outbound && q.Application == "" {
		errs = append(errs, options.Fieldf("application", "is missing; an outbound message comes from an application"))
	}
	if q.Flow == message.Inbound && q.Application != "" {
		errs = append(errs, options.Fieldf("application", "is for outbound messages and events; an inbound message comes from a transport"))
	}
	switch q.Session {
	case message.SessionNone, message.SessionNew, message.SessionResume, message.SessionClose:
	default:
		errs = append(errs, options.Fieldf("session", "is %q; write new, resume or close, or leave it out", q.Session))
	}
	switch q.Event {
	case "":
		q.Event = message.Ack
	case message.Ack, message.Nack, message.DeliveryReport:
	default:
		errs = append(errs, options.Fieldf("event", "is %q; write ack, nack or delivery_report", q.Event))
	}
	return errors.Join(errs...)
}

// message is the message of the question.
func (q *Question) message() *message.Message {
	m := message.New()
	m.From, m.To, m.Content, m.SessionEvent = q.From, q.To, q.Content, q.Session
	m.TransportName, m.TransportType, m.Provider, m.Group = q.Transport, q.Type, q.Provider, q.Group
	if m.TransportType == "" {
		m.TransportType = "sms"
	}
	if q.Endpoint != "" {
		m.SetEndpoint(q.Endpoint)
	}
	if q.Metadata != nil {
		m.HelperMetadata = message.NewObject(q.Metadata)
	}
	return m
}

// event is what became of m.
func (q *Question) event(m *message.Message) *message.Event {
	switch q.Event {
	case message.Nack:
		return message.NewNack(m, "refused")
	case message.DeliveryReport:
		return message.NewDeliveryReport(m, message.Delivered)
	}
	return message.NewAck(m, m.ID)
}

// settle fills in the only transport, and refuses names nobody has.
func (q *Question) settle(f *Fleet) error {
	inputs := f.inputs()
	if q.Transport == "" && q.Flow != message.Outbound {
		if len(inputs) != 1 {
			return options.Fieldf("transport", "is missing; write one of %s", strings.Join(inputs, ", "))
		}
		q.Transport = inputs[0]
	}
	if q.Transport != "" && q.Flow != message.Outbound && !slices.Contains(inputs, q.Transport) {
		return options.Field(fmt.Errorf("nobody here takes anything from %q%s", q.Transport, orOneOf(q.Transport, inputs)), "transport")
	}
	if outputs := f.outputs(); q.Application != "" && !slices.Contains(outputs, q.Application) {
		return options.Field(fmt.Errorf("nobody here takes messages out from %q%s", q.Application, orOneOf(q.Application, outputs)), "application")
	}
	return nil
}

func orOneOf(name string, known []string) string {
	if hint := options.DidYouMean(name, known); hint != "" {
		return hint
	}
	return "; write one of " + strings.Join(known, ", ")
}

// inputs are the connectors from which somebody takes inbound messages and that
// no dispatcher fills: the edge of the fleet. Where all are filled, all.
func (f *Fleet) inputs() []string {
	return f.edge(func(m *member) []string {
		if m.Kind == fleet.KindTransport {
			return []string{m.Connector}
		}
		return m.Names.Transports
	}, func(m *member) []string { return m.Names.Exposed })
}

func (f *Fleet) outputs() []string {
	return f.edge(func(m *member) []string { return m.Names.Exposed }, func(m *member) []string { return m.Names.Transports })
}

func (f *Fleet) edge(taken, filled func(*member) []string) []string {
	var inside, all []string
	for _, m := range f.members {
		inside = append(inside, filled(m)...)
	}
	for _, m := range f.members {
		for _, name := range taken(m) {
			if !slices.Contains(inside, name) && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}
