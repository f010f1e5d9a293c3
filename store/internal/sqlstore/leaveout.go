package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"switchboard/store"
)

// reasonOptedOut is why a transmission was withdrawn from somebody who wants no
// broadcasts any more.
const reasonOptedOut = "opted out"

// leaveOut withdraws transmissions of a batch from persons who opted out after
// the broadcast was made: there is no other attempt.
func (db *DB) leaveOut(ctx context.Context, tx *sql.Tx, c *claimed, wires []wire, now time.Time) error {
	b := newBatch(db, tx, now)
	known, err := b.lock(ctx, wires, []int64{c.month})
	if err != nil {
		return err
	}
	for _, t := range known {
		if t.backend == c.backend && t.Fact == store.Queued {
			b.words[t.wire] = []*word{{wire: t.wire, backend: t.backend, fact: store.Cancelled, reason: reasonOptedOut, at: now}}
		}
	}
	return b.update(ctx, known)
}
