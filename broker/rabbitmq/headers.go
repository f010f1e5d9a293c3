package rabbitmq

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
)

// reserved are headers with a meaning to RabbitMQ. It writes most of them; CC and BCC
// would copy the body to other queues. They are neither sent nor delivered.
var reserved = map[string]bool{
	"x-death": true, "x-first-death-exchange": true, "x-first-death-queue": true, "x-first-death-reason": true,
	"x-last-death-exchange": true, "x-last-death-queue": true, "x-last-death-reason": true,
	"x-delivery-count": true, "x-acquired-count": true, "x-opt-deaths": true, "CC": true, "BCC": true,
}

func toTable(h broker.Headers) amqp.Table {
	if len(h) == 0 {
		return nil
	}
	t := make(amqp.Table, len(h))
	for name, value := range h {
		if !reserved[name] {
			t[name] = value
		}
	}
	return t
}

// fromTable converts header values of any AMQP type to text: other programs may send
// any.
func fromTable(t amqp.Table) broker.Headers {
	if len(t) == 0 {
		return nil
	}
	h := make(broker.Headers, len(t))
	for name, value := range t {
		if !reserved[name] && name != broker.HeaderAgain {
			h[name] = text(value)
		}
	}
	return h
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case amqp.Table, []any:
		if b, err := json.Marshal(v); err == nil {
			return string(b)
		}
	}
	return fmt.Sprint(v)
}

func convert(queue string, d *amqp.Delivery) broker.Delivery {
	return broker.Delivery{
		Queue:       queue,
		Key:         d.RoutingKey,
		Body:        d.Body,
		Headers:     fromTable(d.Headers),
		Redelivered: d.Redelivered || d.Headers[broker.HeaderAgain] != nil,
	}
}
