package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"switchboard/message"
	"switchboard/store"
)

// sharedEventIDs: events of one event_id about several messages count once each, in any order
// and batches.
func sharedEventIDs(t *testing.T, db Ledger) {
	order := rand.New(rand.NewPCG(3, 4))
	for round := range 10 {
		var batch []store.Envelope
		for n := range 2 {
			id := fmt.Sprint("m", round, n)
			said := []store.Envelope{ack(id, at(1)), report(id, message.Pending, at(2)), report(id, message.Delivered, at(3))}
			for i := range said {
				said[i].Event.ID = fmt.Sprint("one", round)
			}
			batch = append(batch, slices.Concat(said, said, []store.Envelope{outbound(id, "", at(0))})...)
		}
		order.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		for len(batch) > 0 {
			n := 1 + order.IntN(len(batch))
			record(t, db, batch[:n]...)
			batch = batch[n:]
		}
		for n := range 2 {
			id := fmt.Sprint("m", round, n)
			if r := find(t, db, id); r.Status != store.StatusDelivered || r.ProviderID != "smsc-"+id {
				t.Errorf("round %d: %+v", round, r)
			}
			if trace, err := db.Trace(t.Context(), id); err != nil || len(trace.Steps) != 4 {
				t.Errorf("round %d: %s has %d steps, want the message and three events: %v", round, id, len(trace.Steps), err)
			}
		}
	}
	if a, err := db.Audit(t.Context(), store.AuditLimits{}); err != nil || a.Orphan != 0 {
		t.Errorf("Audit = %+v, %v; want no event left without its message", a, err)
	}
}
