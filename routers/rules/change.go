package rules

import (
	"fmt"
	"slices"
	"strings"

	"switchboard/message"
	"switchboard/options"
)

// change sets one field of a message.
type change struct {
	field string
	value value
}

// fields are what can be set of a message.
var fields = [...]string{"from_addr", "to_addr", "content", "transport_name", "transport_type", "provider", "group"}

func (l *language) change(field, source string) (change, error) {
	if !slices.Contains(fields[:], field) {
		return change{}, fmt.Errorf("%s is no field that can be set%s (%s)", field, options.DidYouMean(field, fields[:]), strings.Join(fields[:], ", "))
	}
	v, err := l.value(source)
	return change{field, v}, err
}

// translation replaces listed values of one field.
type translation struct {
	field  string
	values map[string]string
}

func newTranslation(field string, m options.Map[string]) (translation, error) {
	t := translation{field, make(map[string]string, len(m))}
	for _, pair := range m {
		t.values[pair.Key] = pair.Value
	}
	if field != "from_addr" && field != "to_addr" {
		return t, fmt.Errorf("%s cannot be translated; write from_addr or to_addr", field)
	}
	return t, nil
}

// field points to a field of the message by its name on the wire.
func field(m *message.Message, name string) *string {
	switch name {
	case "from_addr":
		return &m.From
	case "to_addr":
		return &m.To
	case "content":
		return &m.Content
	case "transport_name":
		return &m.TransportName
	case "transport_type":
		return &m.TransportType
	case "provider":
		return &m.Provider
	}
	return &m.Group
}

// change applies the rule's translate, set and endpoint to the work's own copy.
// Of an event only the transport_name and the endpoint can change.
func (r *rule) change(w *work) error {
	for _, t := range r.translate {
		if m := w.arrival.Message; m != nil {
			if fresh, listed := t.values[*field(m, t.field)]; listed {
				*field(w.own().Message, t.field) = fresh
			}
		}
	}
	if err := r.apply(w); err != nil {
		return err
	}
	if r.Endpoint != "" && w.facts.endpoint() != r.Endpoint {
		if e := w.own(); e.Message != nil {
			e.Message.SetEndpoint(r.Endpoint)
		} else {
			e.Event.SetEndpoint(r.Endpoint)
		}
	}
	return nil
}

func (r *rule) apply(w *work) error {
	for _, c := range r.set {
		fresh, err := c.value.of(&w.facts)
		if err != nil {
			return fmt.Errorf("set %s: %w", c.field, err)
		}
		switch e := w.own(); {
		case e.Message != nil:
			*field(e.Message, c.field) = fresh
		case c.field == "transport_name":
			e.Event.TransportName = fresh
		}
	}
	return nil
}

// onReturn is what the rule does to an event whose application is known: its
// endpoint is known too, and where it goes.
func (r *rule) onReturn(w *work) error {
	if r.Discard != "" {
		return message.Discard(r.Discard)
	}
	return r.apply(w)
}
