package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"switchboard/store"
)

// The bounds of what is withdrawn in one transaction: about so many
// transmissions, in so many batches.
const (
	withdrawPart    = 5000
	withdrawBatches = 100
)

// withdraw takes back what is left of a cancelled broadcast, part by part. A
// batch is forgotten with its transmissions: what is left when somebody dies
// over it, finishCancels finds.
func (db *DB) withdraw(ctx context.Context, broadcast int64) error {
	for more := true; more; {
		err := db.transact(ctx, func(tx *sql.Tx) (err error) {
			more, err = db.withdrawSome(ctx, tx, broadcast)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// finishCancels goes on with cancellations that did not come to their end, a
// part of each at a time: it is called again soon.
func (db *DB) finishCancels(ctx context.Context) error {
	var left []int64
	err := db.query(ctx, db.Write, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		left = append(left, id)
		return err
	}, `SELECT b.id FROM broadcast b WHERE b.state = 'cancelled'
		AND (EXISTS (SELECT 1 FROM broadcast_batch p WHERE p.broadcast_id = b.id)
			OR EXISTS (SELECT 1 FROM broadcast_retry y WHERE y.broadcast_id = b.id))
		ORDER BY b.id LIMIT $1`, maxRunning)
	for _, id := range left {
		if err == nil {
			err = db.transact(ctx, func(tx *sql.Tx) error {
				_, err := db.withdrawSome(ctx, tx, id)
				return err
			})
		}
	}
	if err != nil {
		return fmt.Errorf("withdrawing what is left of cancelled broadcasts: %w", err)
	}
	return nil
}

// withdrawal is a part of a cancelled broadcast.
type withdrawal struct {
	batches     []int64
	retries     []int64 // those of batches whose transmissions are in broadcast_retry
	month       int64
	first, last string // of the transmissions of the others; empty where there are none
}

// withdrawSome withdraws a part, and says whether there may be more.
func (db *DB) withdrawSome(ctx context.Context, tx *sql.Tx, broadcast int64) (more bool, err error) {
	w, err := db.nextWithdrawal(ctx, tx, broadcast)
	if err != nil {
		return false, err
	}
	if len(w.batches) == 0 {
		_, err := db.exec(ctx, tx, "DELETE FROM broadcast_retry WHERE broadcast_id = $1", broadcast)
		return false, err
	}
	now, err := db.clock(ctx, tx)
	if err != nil {
		return false, err
	}
	b := newBatch(db, tx, now)
	known, err := b.withdrawn(ctx, w)
	if err != nil {
		return false, err
	}
	for _, t := range known {
		if t.Fact == store.Queued {
			b.words[t.wire] = []*word{{wire: t.wire, backend: t.backend, fact: store.Cancelled, reason: "broadcast cancelled"}}
		}
	}
	if err := b.update(ctx, known); err != nil {
		return false, err
	}
	return true, b.forgetBatches(ctx, w.batches)
}

// nextWithdrawal locks the next batches of a broadcast.
func (db *DB) nextWithdrawal(ctx context.Context, tx *sql.Tx, broadcast int64) (w withdrawal, err error) {
	size := int64(0)
	err = db.query(ctx, tx, func(rows *sql.Rows) error {
		var id, n int64
		var first, last string
		if err := rows.Scan(&id, &n, orNull[string]{&first}, orNull[string]{&last}, &w.month); err != nil || size >= withdrawPart {
			return err
		}
		size += n
		w.batches = append(w.batches, id)
		if first == "" {
			w.retries = append(w.retries, id)
		}
		w.first, w.last = least(w.first, first), max(w.last, last)
		return nil
	}, `SELECT p.id, p.size, p.first_id, p.last_id, b.month FROM broadcast_batch p JOIN broadcast b ON b.id = p.broadcast_id
		WHERE p.broadcast_id = $1 ORDER BY p.id LIMIT $2`+db.Dialect.ForUpdate("p"), broadcast, withdrawBatches)
	return w, err
}

// withdrawn locks the transmissions of a part that wait.
func (b *batch) withdrawn(ctx context.Context, w withdrawal) (known []*transmission, err error) {
	if w.first != "" {
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			t, err := scanTransmission(rows)
			known = append(known, t)
			return err
		}, "SELECT "+lockedColumns+` FROM transmission t WHERE t.id >= $1 AND t.id <= $2 AND t.direction = 'O' AND t.month = $3
			AND t.fact = $4 ORDER BY t.id`+b.db.Dialect.ForUpdate("t"), w.first, w.last, w.month, int64(store.Queued))
		if err != nil {
			return nil, err
		}
	}
	for _, id := range w.retries {
		wires, err := b.retryWires(ctx, &claimed{id: id})
		if err != nil {
			return nil, err
		}
		retried, err := b.lock(ctx, wires, []int64{w.month})
		if err != nil {
			return nil, err
		}
		known = append(known, retried...)
	}
	return known, nil
}

// forgetBatches forgets batches and the retries in them.
func (b *batch) forgetBatches(ctx context.Context, ids []int64) error {
	rows := make([][]any, len(ids))
	for i, id := range ids {
		rows[i] = []any{id}
	}
	for _, statement := range []string{
		"DELETE FROM broadcast_retry WHERE batch_id IN (SELECT id FROM r)",
		"DELETE FROM broadcast_batch WHERE id IN (SELECT id FROM r)",
	} {
		if err := b.each(ctx, rows, "id", []Type{Int}, statement); err != nil {
			return err
		}
	}
	return nil
}
