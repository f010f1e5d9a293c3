package queues

import (
	"strings"
	"testing"
	"time"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/worker"
)

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

// The age is not known where not all that read a queue were asked.
func TestOldestOfAll(t *testing.T) {
	made := time.Now()
	readers := []fleet.WorkerStatus{{Oldest: map[string]time.Time{"q": made}}}
	for consumers, known := range map[int]bool{1: true, 2: false} {
		s := Status{Queue: "q", Messages: 3, Consumers: consumers}
		if s.ask(readers); (s.Oldest != nil) != known || (s.InFlight != nil) != known {
			t.Errorf("of one of %d is known %v, in flight %v", consumers, s.Oldest, s.InFlight)
		}
	}
}

// A queue says what keeps its messages from moving faster.
func TestLimit(t *testing.T) {
	reads := func(held int64, change func(w *fleet.WorkerStatus)) []fleet.WorkerStatus {
		w := fleet.WorkerStatus{Kind: fleet.KindTransport, Held: map[string]int64{"q": held}, Limits: map[string]int{"q": 20}}
		if change != nil {
			change(&w)
		}
		return []fleet.WorkerStatus{w}
	}
	for name, c := range map[string]struct {
		status  Status
		readers []fleet.WorkerStatus
		blocked string
		want    string
	}{
		"nothing waits": {Status{Consumers: 1}, reads(20, nil), "", ""},
		"it moves":      {Status{Messages: 3, Consumers: 1}, reads(3, nil), "", ""},
		"paused":        {Status{Messages: 3, Paused: &worker.Pause{}}, nil, "", "pause"},
		"nobody reads":  {Status{Messages: 3}, nil, "", "no consumer"},
		"link down": {
			Status{Messages: 3, Consumers: 1, Links: []worker.Dependency{{Kind: "link", Name: "smpp", Health: message.Down}}},
			reads(20, nil), "", "link smpp, which is down",
		},
		"broker blocked":       {Status{Messages: 3, Consumers: 1}, reads(20, nil), "low on memory", "low on memory"},
		"nobody was asked":     {Status{Messages: 3, Consumers: 1}, nil, "", "unknown"},
		"one of two was asked": {Status{Messages: 3, Consumers: 2}, reads(20, nil), "", "unknown: not all"},
		"one of two was asked, whose link is down": {
			Status{Messages: 3, Consumers: 2, Links: []worker.Dependency{{Kind: "link", Name: "smpp", Health: message.Down}}},
			reads(20, nil), "", "unknown: not all",
		},
		"no limit is known": {Status{Messages: 3, Consumers: 1}, reads(0, func(w *fleet.WorkerStatus) { w.Limits = nil }), "", "unknown: its worker"},
		"rate":              {Status{Messages: 3, Consumers: 1}, reads(20, func(w *fleet.WorkerStatus) { w.Paced = true }), "", "rate"},
		"slow outside":      {Status{Messages: 3, Consumers: 1}, reads(20, nil), "", "the outside, which is slow: 20 of 20"},
		"slow worker": {
			Status{Messages: 3, Consumers: 1}, reads(20, func(w *fleet.WorkerStatus) { w.Kind = fleet.KindApplication }), "", "20 of 20 in flight: the worker",
		},
	} {
		c.status.Queue = "q"
		got := c.status.limit(c.readers, c.blocked)
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: limited by %q, want %q", name, got, c.want)
		}
	}
}
