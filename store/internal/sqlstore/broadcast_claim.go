package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"switchboard/store"
)

// claim is a batch that a worker has claimed.
type claim struct {
	id        int64
	broadcast int64
	backend   int64
	month     int64
	retry     bool
	first     string
	last      string
	endpoint  string
	state     store.BroadcastState
	start     time.Time
	until     time.Time
	owner     string
}

// Claim implements store.Broadcasts.
func (db *DB) Claim(ctx context.Context, batchID int64, owner string, lease time.Duration) (handovers []store.Handover, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		now, err := db.clock(ctx, tx)
		if err != nil {
			return err
		}
		c, err := db.claim(ctx, tx, batchID, owner, now, lease)
		if err != nil {
			return err
		}
		if c.retry {
			if err := db.startRetry(ctx, tx, c, now); err != nil {
				return err
			}
		}
		handovers, err = db.handovers(ctx, tx, c, now)
		if err == nil && len(handovers) == 0 {
			err = db.deleteBatch(ctx, tx, batchID, owner)
		}
		return err
	})
	if err == nil && len(handovers) == 0 {
		err = store.ErrNotDue
	}
	if err != nil {
		return nil, fmt.Errorf("claiming batch %d: %w", batchID, err)
	}
	return handovers, nil
}

func (db *DB) claim(ctx context.Context, tx *sql.Tx, batchID int64, owner string, now time.Time, lease time.Duration) (*claim, error) {
	c := &claim{id: batchID}
	err := db.row(ctx, tx, `SELECT p.broadcast_id, p.backend_id, p.retry, p.first_id, p.last_id, p.claimed, p.owner,
			b.month, b.endpoint, b.state, b.start
		FROM broadcast_batch p JOIN broadcast b ON b.id = p.broadcast_id WHERE p.id = $1`+db.Dialect.ForUpdate("p"), batchID).
		Scan(&c.broadcast, &c.backend, &c.retry, scanNull[string]{&c.first}, scanNull[string]{&c.last}, scanTime{&c.until}, scanNull[string]{&c.owner},
			&c.month, &c.endpoint, &c.state, scanTime{&c.start})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotDue
	}
	if err != nil {
		return nil, err
	}
	others := c.until.After(now) && c.owner != owner
	if c.state != store.BroadcastRunning || c.start.After(now) || others {
		return nil, store.ErrNotDue
	}
	until := db.Dialect.Time(now.Add(lease))
	_, err = db.exec(ctx, tx, "UPDATE broadcast_batch SET claimed = $1, due = $2, owner = $3 WHERE id = $4", until, until, owner, batchID)
	return c, err
}

// startRetry starts another attempt of those of a retry batch that are still E.
func (db *DB) startRetry(ctx context.Context, tx *sql.Tx, c *claim, now time.Time) error {
	b := newBatch(db, tx, now)
	ids, err := b.retryIDs(ctx, c)
	if err != nil {
		return err
	}
	known, err := b.lock(ctx, ids, []int64{c.month})
	if err != nil {
		return err
	}
	for _, t := range known {
		if t.Progress.Retried() {
			b.updates[t.wireID] = []*update{{wireID: t.wireID, backend: t.backend, progress: store.Queued, attempt: t.Attempt + 1, at: now}}
		}
	}
	return b.update(ctx, known)
}

func (b *batch) retryIDs(ctx context.Context, c *claim) (ids []wireID, err error) {
	err = b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
		w := wireID{direction: store.Outbound}
		err := rows.Scan(&w.id)
		ids = append(ids, w)
		return err
	}, "SELECT id FROM broadcast_retry WHERE batch_id = $1 ORDER BY id", c.id)
	return ids, err
}

// handovers reads what of a batch was not handed over in its newest attempt, without those who
// have opted out, for whom it cancels the batch.
func (db *DB) handovers(ctx context.Context, tx *sql.Tx, c *claim, now time.Time) (list []store.Handover, err error) {
	w := new(where)
	w.and("t.direction = 'O' AND t.month = ? AND t.backend_id = ? AND t.progress = ?", c.month, c.backend, int64(store.Queued))
	if c.retry {
		w.and("t.id IN (SELECT id FROM broadcast_retry WHERE batch_id = ?)", c.id)
	} else {
		// Retries of the range are in batches of their own.
		w.and("t.id >= ? AND t.id <= ? AND t.attempt = 1", c.first, c.last)
	}
	var out []wireID
	err = db.query(ctx, tx, func(rows *sql.Rows) error {
		var optedOut bool
		r, err := scanRecord(rows, &optedOut)
		if optedOut {
			out = append(out, wireID{r.ID, r.Direction})
		} else {
			list = append(list, store.Handover{Record: r, Attempt: r.Attempts, Endpoint: c.endpoint})
		}
		return err
	}, "SELECT "+recordColumns+", "+optedOut+recordTables+w.sql()+" ORDER BY t.id", w.args...)
	if err != nil || len(out) == 0 {
		return list, err
	}
	return list, db.cancelOptedOut(ctx, tx, c, out, now)
}

// Finish implements store.Broadcasts.
func (db *DB) Finish(ctx context.Context, batchID int64, owner string, handed []store.Handover, done bool) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		now, err := db.clock(ctx, tx)
		if err != nil {
			return err
		}
		if err := db.markHandedOver(ctx, tx, handed, now); err != nil {
			return err
		}
		if done {
			return db.deleteBatch(ctx, tx, batchID, owner)
		}
		_, err = db.exec(ctx, tx, "UPDATE broadcast_batch SET claimed = NULL, owner = NULL, due = $1 WHERE id = $2 AND owner = $3",
			db.Dialect.Time(now), batchID, owner)
		return err
	})
	if err != nil {
		return fmt.Errorf("finishing batch %d: %w", batchID, err)
	}
	return nil
}

// optedOut is an expression: whether the person of connection c has opted out, by any spelling
// of the address.
const optedOut = `EXISTS (SELECT 1 FROM connection o JOIN contact k ON k.id = o.contact_id
	WHERE o.normal = c.normal AND o.backend_id = c.backend_id AND k.opted_out)`

func (db *DB) markHandedOver(ctx context.Context, tx *sql.Tx, handed []store.Handover, now time.Time) error {
	if len(handed) == 0 {
		return nil
	}
	b := newBatch(db, tx, now)
	var updates []*update
	for i := range handed {
		h := &handed[i]
		w := &update{
			wireID: wireID{h.ID, store.Outbound}, progress: store.HandedOver, attempt: h.Attempt, at: now, month: monthOf(h.Date),
		}
		b.updates[w.wireID] = append(b.updates[w.wireID], w)
		updates = append(updates, w)
	}
	known, err := b.lock(ctx, wireIDsOf(updates), likelyMonths(updates))
	if err != nil {
		return err
	}
	return b.update(ctx, known)
}

func newBatch(db *DB, tx *sql.Tx, now time.Time) *batch {
	return &batch{db: db, tx: tx, now: now, updates: map[wireID][]*update{}, changes: map[messageKey]*change{}}
}

// update applies the updates to locked transmissions.
func (b *batch) update(ctx context.Context, known []*transmission) error {
	if err := b.updateTransmissions(ctx, b.applyTo(known)); err != nil {
		return err
	}
	if err := b.updateMessages(ctx); err != nil {
		return err
	}
	return b.scheduleRetries(ctx)
}

// deleteBatch deletes a batch and its retries if owner still has it. Retries that failed again
// are in it no more.
func (db *DB) deleteBatch(ctx context.Context, tx *sql.Tx, batchID int64, owner string) error {
	n, err := db.exec(ctx, tx, "DELETE FROM broadcast_batch WHERE id = $1 AND owner = $2", batchID, owner)
	if err != nil || n == 0 {
		return err
	}
	_, err = db.exec(ctx, tx, "DELETE FROM broadcast_retry WHERE batch_id = $1", batchID)
	return err
}

const reasonOptedOut = "opted out"

// cancelOptedOut cancels transmissions to persons who opted out after the broadcast was
// created.
func (db *DB) cancelOptedOut(ctx context.Context, tx *sql.Tx, c *claim, ids []wireID, now time.Time) error {
	b := newBatch(db, tx, now)
	known, err := b.lock(ctx, ids, []int64{c.month})
	if err != nil {
		return err
	}
	for _, t := range known {
		if t.backend == c.backend && t.Progress == store.Queued {
			b.updates[t.wireID] = []*update{{wireID: t.wireID, backend: t.backend, progress: store.Cancelled, reason: reasonOptedOut, at: now}}
		}
	}
	return b.update(ctx, known)
}
