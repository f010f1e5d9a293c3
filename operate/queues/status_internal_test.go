package queues

import "testing"

// Messages for a customer who is away hurt nobody, whoever else does not read theirs.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		status Status
		state  string
		hurts  bool
	}{
		"nobody reads":                 {Status{Messages: 3}, Stuck, true},
		"a customer is away":           {Status{Messages: 3, waits: true}, Away, false},
		"a customer has nothing there": {Status{waits: true}, OK, false},
		"a customer is there":          {Status{Messages: 3, Consumers: 1, waits: true}, OK, false},
	} {
		c.status.judge()
		if c.status.State != c.state || c.status.Hurts(true) != c.hurts {
			t.Errorf("%s: it is %q and hurts: %t", name, c.status.State, c.status.Hurts(true))
		}
	}
}
