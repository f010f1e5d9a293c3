package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// policed is what may make RabbitMQ drop bodies of a queue.
type policed struct {
	Name      string                     `json:"name"`
	Policy    string                     `json:"policy"`
	Operator  string                     `json:"operator_policy"`
	Effective map[string]json.RawMessage `json:"effective_policy_definition"`
	Limit     json.RawMessage            `json:"delivery_limit"` // since RabbitMQ 4, of quorum queues: a number or "unlimited"
}

// Lossy returns the queues of which RabbitMQ drops bodies that nobody has handled, by their
// name, and why: a policy of an operator, or RabbitMQ 4's delivery limit.
func (m *Management) Lossy(ctx context.Context) (map[string]string, error) {
	var queues []policed
	if err := m.get(ctx, "name,policy,operator_policy,effective_policy_definition,delivery_limit", &queues); err != nil {
		return nil, err
	}
	lossy := map[string]string{}
	for _, q := range queues {
		if why := q.losses(); len(why) > 0 {
			lossy[q.Name] = strings.Join(why, ", ") + q.from()
		}
	}
	return lossy, nil
}

// losses are what drops bodies (rabbitmq.com: Policies, Queue Length Limit, Time-To-Live,
// Poison Message Handling).
func (q policed) losses() (why []string) {
	limit := q.Limit
	if set, is := q.Effective["delivery-limit"]; is {
		limit = set
	}
	var n int
	if json.Unmarshal(limit, &n) == nil && len(limit) > 0 && n >= 0 {
		why = append(why, fmt.Sprintf("delivery-limit %d: what returned to it so often is dropped", n))
	}
	overflow := string(q.Effective["overflow"])
	for _, key := range []string{"max-length", "max-length-bytes", "message-ttl", "expires"} {
		value, is := q.Effective[key]
		switch {
		case !is, strings.HasPrefix(key, "max-length") && overflow == `"reject-publish"`: // the publisher learns of it
		case key == "expires":
			why = append(why, fmt.Sprintf("expires %s: without consumers it is deleted", value))
		default:
			why = append(why, fmt.Sprintf("%s %s: what exceeds it is dropped", key, value))
		}
	}
	return why
}

// from says whose policy it is.
func (q policed) from() string {
	names := slices.DeleteFunc([]string{q.Policy, q.Operator}, func(name string) bool { return name == "" })
	if len(names) == 0 {
		return ""
	}
	return " (policy " + strings.Join(names, ", ") + ")"
}
