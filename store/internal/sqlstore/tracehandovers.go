package sqlstore

import (
	"encoding/json"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// handoverOf is which attempt of a broadcast's message an event is about, and
// when that was handed over; nothing where the event does not say.
func handoverOf(e *store.EventRecord) (attempt int, at time.Time) {
	var wrote struct {
		Routing message.Object `json:"routing_metadata"`
	}
	if json.Unmarshal([]byte(e.Body), &wrote) != nil {
		return 0, at
	}
	return store.HandoverIn(&wrote.Routing)
}

// handovers are the steps of which no event of their own is kept: what was said
// of an attempt says when it was handed over, and while nothing was said, the
// record has changed for nothing else.
func (t *tracing) handovers() (steps []store.Step) {
	type attempt struct {
		id string
		n  int
	}
	told := map[attempt]bool{}
	tell := func(at attempt, backend string, when time.Time) {
		if told[at] || when.IsZero() {
			return
		}
		told[at] = true
		steps = append(steps, store.Step{At: when, What: fmt.Sprintf("handed over (attempt %d)", at.n), Event: &store.EventRecord{
			MessageID: at.id, Direction: store.Outbound, Type: "handed_over", Backend: backend,
			Attempt: at.n, Date: when, Recorded: when,
		}})
	}
	for _, s := range t.trace.Steps {
		if s.Event != nil && s.Event.Attempt > 0 {
			tell(attempt{s.Event.MessageID, s.Event.Attempt}, s.Event.Backend, s.Event.HandedOver)
		}
	}
	for _, r := range t.trace.Records {
		if r.Broadcast != 0 && r.Status == store.StatusPassing {
			tell(attempt{r.ID, r.Attempts}, r.Backend, r.Updated)
		}
	}
	return steps
}
