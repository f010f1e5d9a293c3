package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"switchboard/store"
)

// maxRunning bounds how many broadcasts one call of Due looks after.
const maxRunning = 100

// Due lends batches: see store.Broadcasts.
func (db *DB) Due(ctx context.Context, limit int, lease time.Duration) (due []store.Batch, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		due = nil
		d := &dealer{db: db, tx: tx, lease: lease}
		if d.now, err = db.clock(ctx, tx); err != nil {
			return err
		}
		list, err := d.running(ctx)
		if err != nil {
			return err
		}
		for i := range list {
			// What is left is for those that are left: a small broadcast does
			// not wait for all of a large one.
			share := (limit - len(due)) / (len(list) - i)
			batches, err := d.deal(ctx, &list[i], max(share, 1))
			if err != nil {
				return err
			}
			due = append(due, batches...)
			if len(due) >= limit {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lending batches: %w", err)
	}
	return due, nil
}

// clock is what time it is for all workers: the database's.
func (db *DB) clock(ctx context.Context, q querier) (time.Time, error) {
	var micros int64
	if err := db.row(ctx, q, "SELECT "+db.Dialect.Now()).Scan(&micros); err != nil {
		return time.Time{}, fmt.Errorf("reading the database's clock: %w", err)
	}
	return time.UnixMicro(micros).UTC(), nil
}

// running is a broadcast of which something is due.
type running struct {
	id   int64
	next time.Time
	rate float64
	size int
}

// dealer is one transaction that deals out batches.
type dealer struct {
	db    *DB
	tx    *sql.Tx
	now   time.Time
	lease time.Duration
}

func (d *dealer) at() any { return d.db.Dialect.Time(d.now) }

// running locks the broadcasts of which something is due and that no other
// dealer has in hand; those that wait longest come first.
func (d *dealer) running(ctx context.Context) (list []running, err error) {
	err = d.db.query(ctx, d.tx, func(rows *sql.Rows) error {
		var r running
		err := rows.Scan(&r.id, moment{&r.next}, &r.rate, &r.size)
		list = append(list, r)
		return err
	}, `SELECT b.id, b.next, b.rate, b.batch_size FROM broadcast b
		WHERE b.state = 'running' AND b.start <= $1 AND b.next <= $2
		AND (EXISTS (SELECT 1 FROM broadcast_batch p WHERE p.broadcast_id = b.id AND p.due <= $3)
			OR EXISTS (SELECT 1 FROM broadcast_retry y WHERE y.broadcast_id = b.id AND y.batch_id IS NULL AND y.due <= $4))
		ORDER BY b.next, b.id LIMIT $5`+d.db.Dialect.SkipLocked("b"), d.at(), d.at(), d.at(), d.at(), maxRunning)
	return list, err
}

// deal lends up to limit batches of a broadcast.
func (d *dealer) deal(ctx context.Context, r *running, limit int) ([]store.Batch, error) {
	batches, err := d.batches(ctx, r, limit)
	if err != nil {
		return nil, err
	}
	if len(batches) < limit {
		retries, err := d.gatherRetries(ctx, r, limit-len(batches))
		if err != nil {
			return nil, fmt.Errorf("gathering retries: %w", err)
		}
		batches = append(batches, retries...)
	}
	batches = r.throttle(batches, d.now)
	return batches, d.lend(ctx, r, batches)
}

func (d *dealer) batches(ctx context.Context, r *running, limit int) (batches []store.Batch, err error) {
	err = d.db.query(ctx, d.tx, func(rows *sql.Rows) error {
		b := store.Batch{Broadcast: r.id, Rate: r.rate}
		err := rows.Scan(&b.ID, &b.Size, &b.Backend)
		batches = append(batches, b)
		return err
	}, `SELECT p.id, p.size, b.name FROM broadcast_batch p JOIN backend b ON b.id = p.backend_id
		WHERE p.broadcast_id = $1 AND p.due <= $2 ORDER BY p.due, p.id LIMIT $3`+d.db.Dialect.SkipLocked("p"),
		r.id, d.at(), limit)
	return batches, err
}

// throttle lets through what the rate allows now, and says when more may come.
func (r *running) throttle(batches []store.Batch, now time.Time) []store.Batch {
	if r.rate <= 0 {
		return batches
	}
	for i, b := range batches {
		if r.next.After(now) {
			return batches[:i]
		}
		takes := time.Duration(float64(b.Size) / r.rate * float64(time.Second))
		// What was not used is gone: a pause is not made up for by a burst.
		if late := now.Add(-time.Second); r.next.Before(late) {
			r.next = now
		}
		r.next = r.next.Add(takes)
	}
	return batches
}

func (d *dealer) lend(ctx context.Context, r *running, batches []store.Batch) error {
	ids := make([]int64, len(batches))
	for i, b := range batches {
		ids[i] = b.ID
	}
	if err := d.db.dueAt(ctx, d.tx, ids, d.now.Add(d.lease), ""); err != nil {
		return err
	}
	_, err := d.db.exec(ctx, d.tx, "UPDATE broadcast SET next = $1 WHERE id = $2", d.db.Dialect.Time(r.next), r.id)
	return err
}

// dueAt says when batches are due (again); condition may leave out some.
func (db *DB) dueAt(ctx context.Context, q querier, batches []int64, at time.Time, condition string) error {
	rows := make([][]any, len(batches))
	for i, id := range batches {
		rows[i] = []any{id}
	}
	for part := range db.chunks(rows) {
		with, args := db.with("r", "id", []Type{Int}, part)
		_, err := db.exec(ctx, q, with+"UPDATE broadcast_batch SET due = "+param(len(args)+1)+
			" WHERE id IN (SELECT id FROM r)"+condition, append(args, db.Dialect.Time(at))...)
		if err != nil {
			return err
		}
	}
	return nil
}

// Release gives lent batches back: see store.Broadcasts.
func (db *DB) Release(ctx context.Context, batches []int64) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		now, err := db.clock(ctx, tx)
		if err != nil {
			return err
		}
		return db.dueAt(ctx, tx, batches, now, " AND claimed IS NULL")
	})
	if err != nil {
		return fmt.Errorf("releasing batches: %w", err)
	}
	return nil
}
