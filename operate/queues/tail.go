package queues

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/operate"
)

// Address is one flow of a connector.
type Address struct {
	Connector string
	Flow      message.Flow
}

// Key is the routing key, and the queue, of an address.
func (a Address) Key() string { return message.Key(a.Connector, a.Flow) }

// Tail looks on at what passes connectors and takes nothing away.
type Tail struct {
	Broker broker.Broker
	// Content says that what people write is wanted, Body the body itself too.
	Content, Body bool

	keys map[string]Address
}

// Passing is a message or event that passed.
type Passing struct {
	Time      string          `json:"time"`
	Connector string          `json:"connector"`
	Flow      message.Flow    `json:"flow"`
	MessageID string          `json:"message_id,omitempty"`
	From      string          `json:"from_addr,omitempty"`
	To        string          `json:"to_addr,omitempty"`
	Session   string          `json:"session_event,omitempty"`
	Event     string          `json:"event_type,omitempty"`
	Outcome   string          `json:"outcome,omitempty"` // a nack's reason, a delivery report's status
	Invalid   string          `json:"invalid,omitempty"` // why it is no message of its flow
	Content   *string         `json:"content,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
}

// Addresses are the flows of connectors.
func Addresses(connectors, flows []string) (all []Address, err error) {
	for _, connector := range connectors {
		for _, flow := range flows {
			f := message.Flow(flow)
			if f != message.Inbound && f != message.Outbound && f != message.EventFlow {
				return nil, operate.Misused(fmt.Errorf("--flow %s is none of inbound, outbound, event", flow))
			}
			all = append(all, Address{connector, f})
		}
	}
	return all, nil
}

// Open chooses what is followed. It leaves out addresses without a queue: what was
// published to such a key while somebody looks on would be taken for delivered.
func (t *Tail) Open(ctx context.Context, addresses []Address) (followed, left []string, err error) {
	t.keys = map[string]Address{}
	for _, a := range addresses {
		key := a.Key()
		_, there, err := inspect(ctx, t.Broker, key)
		switch {
		case err != nil:
			return nil, nil, err
		case there:
			t.keys[key] = a
		default:
			left = append(left, key)
		}
	}
	if len(t.keys) == 0 {
		return nil, left, errors.New("none of the connectors has a queue yet; start the workers first")
	}
	return slices.Sorted(maps.Keys(t.keys)), left, nil
}

// tailPrefetch is how many bodies are on their way at once.
const tailPrefetch = 100

// Follow calls show for all that passes until ctx ends. After a lost connection the
// broker may still hold the queue for the old one, so each try has its own name.
func (t *Tail) Follow(ctx context.Context, show func(Passing)) error {
	for {
		q := broker.Queue{Name: "switchboard.tail." + strings.ToLower(rand.Text()), Keys: slices.Sorted(maps.Keys(t.keys)), Temporary: true}
		err := t.Broker.Consume(ctx, q, tailPrefetch, func(d *broker.Delivery) {
			show(t.describe(d))
			d.Ack()
		})
		if !errors.Is(err, broker.ErrQueueMismatch) {
			return err
		}
	}
}

func (t *Tail) describe(d *broker.Delivery) Passing {
	from := t.keys[d.Key]
	p := Passing{Time: time.Now().UTC().Format(time.RFC3339Nano), Connector: from.Connector, Flow: from.Flow}
	e, err := message.DecodeEnvelope(from.Flow, from.Connector, d.Body)
	switch {
	case err != nil:
		p.Invalid = err.Error()
	case e.Event != nil:
		p.MessageID, p.Event, p.Outcome = e.Event.MessageID, string(e.Event.Type), e.Event.NackReason+string(e.Event.DeliveryStatus)
	default:
		m := e.Message
		p.MessageID, p.From, p.To, p.Session = m.ID, m.From, m.To, string(m.SessionEvent)
		if t.Content {
			p.Content = &m.Content
		}
	}
	if t.Content && t.Body && json.Valid(d.Body) {
		p.Body = d.Body
	}
	return p
}
