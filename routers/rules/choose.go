package rules

import (
	"errors"
	"fmt"
	"sync/atomic"

	"switchboard/message"
)

// choice is one connector of several: the first that is well, or by weight.
type choice struct {
	names   []string
	weights []int // nil: the first that is well
	sticky  bool
	turn    atomic.Uint64
}

func newChoice(r *Rule) (*choice, error) {
	if len(r.FirstHealthy) > 0 {
		return &choice{names: r.FirstHealthy}, nil
	}
	if len(r.Balance) == 0 {
		return nil, nil
	}
	c := &choice{sticky: r.Sticky}
	total := 0
	for _, pair := range r.Balance {
		if pair.Value < 0 || pair.Value > maxWeight {
			return nil, fmt.Errorf("the weight of %s must be between 0 and %d", pair.Key, maxWeight)
		}
		total += pair.Value
		c.names, c.weights = append(c.names, pair.Key), append(c.weights, pair.Value)
	}
	if total == 0 {
		return nil, errors.New("all weights are 0")
	}
	return c, nil
}

const maxWeight = 1_000_000

func (c *choice) of(f *facts) string {
	switch {
	case c.weights == nil:
		return c.first(f)
	case c.sticky:
		return c.mine(f)
	}
	return c.next(f)
}

// first is the first that is ok, or else degraded, or else the first.
func (c *choice) first(f *facts) string {
	for _, want := range [...]message.Health{message.OK, message.Degraded} {
		for _, name := range c.names {
			if f.healthOf(name) == want {
				return name
			}
		}
	}
	return c.names[0]
}

// weight is a target's weight among those that are not down, or among all when
// all are.
func (c *choice) weight(f *facts, i int, all bool) int {
	if !all && f.healthOf(c.names[i]) == message.Down {
		return 0
	}
	return c.weights[i]
}

func (c *choice) total(f *facts) (total int, all bool) {
	for i := range c.names {
		total += c.weight(f, i, false)
	}
	if total > 0 {
		return total, false
	}
	for i := range c.names {
		total += c.weight(f, i, true)
	}
	return total, true
}

// next takes turns by weight. The turns go round the whole in steps that have no
// divisor in common with it, so that each place comes up once before any comes
// again, and targets mix.
func (c *choice) next(f *facts) string {
	total, all := c.total(f)
	at := int(c.turn.Add(1) - 1)
	place := int(uint64(at) % uint64(total) * uint64(stride(total)) % uint64(total))
	for i, name := range c.names {
		if place -= c.weight(f, i, all); place < 0 {
			return name
		}
	}
	return c.names[0]
}

// stride is near the golden section of n, and without a divisor in common.
func stride(n int) int {
	s := n*618/1000 + 1
	for gcd(s, n) != 1 {
		s++
	}
	return s
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// mine is the same for one person each time.
func (c *choice) mine(f *facts) string {
	_, all := c.total(f)
	best, highest := c.names[0], -1.0
	person := f.arrival.Person()
	for i, name := range c.names {
		if w := c.weight(f, i, all); w > 0 {
			if lot := draw("balance", person, name, w); lot > highest {
				best, highest = name, lot
			}
		}
	}
	return best
}
