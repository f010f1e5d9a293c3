package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"switchboard/store"
)

// running is a broadcast whose batches may be due.
type running struct {
	id   int64
	next time.Time
	rate float64
	size int
}

// maxRunning bounds how many broadcasts one call of Due looks after.
const maxRunning = 100

// Due lends batches: see store.Broadcasts.
func (db *DB) Due(ctx context.Context, limit int, lease time.Duration) (due []store.Batch, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		due = nil
		d := &dealer{db: db, tx: tx, now: utc(time.Now()), lease: lease}
		list, err := d.running(ctx)
		if err != nil {
			return err
		}
		for i := range list {
			if len(due) >= limit {
				return nil
			}
			batches, err := d.deal(ctx, &list[i], limit-len(due))
			if err != nil {
				return err
			}
			due = append(due, batches...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lending batches: %w", err)
	}
	return due, nil
}

// dealer is one transaction that deals out batches.
type dealer struct {
	db    *DB
	tx    *sql.Tx
	now   time.Time
	lease time.Duration
}

func (d *dealer) at() any { return d.db.Dialect.Time(d.now) }

// running locks the broadcasts that no other dealer has in hand.
func (d *dealer) running(ctx context.Context) (list []running, err error) {
	err = d.db.query(ctx, d.tx, func(rows *sql.Rows) error {
		var r running
		err := rows.Scan(&r.id, moment{&r.next}, &r.rate, &r.size)
		list = append(list, r)
		return err
	}, `SELECT b.id, b.next, b.rate, b.batch_size FROM broadcast b
		WHERE b.state = 'running' AND b.start <= $1 AND b.next <= $2
		ORDER BY b.id LIMIT $3`+d.db.Dialect.SkipLocked("b"), d.at(), d.at(), maxRunning)
	return list, err
}

func (d *dealer) deal(ctx context.Context, r *running, limit int) ([]store.Batch, error) {
	if err := d.gatherRetries(ctx, r); err != nil {
		return nil, fmt.Errorf("gathering retries: %w", err)
	}
	batches, err := d.batches(ctx, r, limit)
	if err != nil {
		return nil, err
	}
	batches = r.throttle(batches, d.now)
	if len(batches) == 0 {
		return nil, d.finishIdle(ctx, r)
	}
	return batches, d.lend(ctx, r, batches)
}

// gatherRetries makes batches of the retries that are due.
func (d *dealer) gatherRetries(ctx context.Context, r *running) error {
	type group struct{ backend, n int64 }
	var groups []group
	err := d.db.query(ctx, d.tx, func(rows *sql.Rows) error {
		var g group
		err := rows.Scan(&g.backend, &g.n)
		groups = append(groups, g)
		return err
	}, `SELECT backend_id, count(*) FROM broadcast_retry WHERE broadcast_id = $1 AND batch_id IS NULL AND due <= $2
		GROUP BY backend_id ORDER BY backend_id`, r.id, d.at())
	if err != nil {
		return err
	}
	for _, g := range groups {
		for left := g.n; left > 0; left -= int64(r.size) {
			if err := d.retryBatch(ctx, r, g.backend, min(left, int64(r.size))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dealer) retryBatch(ctx context.Context, r *running, backend, size int64) error {
	var batch int64
	err := d.db.row(ctx, d.tx, `INSERT INTO broadcast_batch (broadcast_id, backend_id, retry, size, due)
		VALUES ($1, $2, $3, $4, $5) RETURNING id`, r.id, backend, true, size, d.at()).Scan(&batch)
	if err != nil {
		return err
	}
	_, err = d.db.exec(ctx, d.tx, `UPDATE broadcast_retry SET batch_id = $1 WHERE id IN (SELECT id FROM broadcast_retry
		WHERE broadcast_id = $2 AND backend_id = $3 AND batch_id IS NULL AND due <= $4 ORDER BY id LIMIT $5)`,
		batch, r.id, backend, d.at(), size)
	return err
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
	rows := make([][]any, len(batches))
	for i, b := range batches {
		rows[i] = []any{b.ID}
	}
	until := d.db.Dialect.Time(d.now.Add(d.lease))
	for part := range d.db.chunks(rows) {
		with, args := d.db.with("r", "id", []Type{Int}, part)
		_, err := d.db.exec(ctx, d.tx, with+"UPDATE broadcast_batch SET due = "+param(len(args)+1)+
			" WHERE id IN (SELECT id FROM r)", append(args, until)...)
		if err != nil {
			return err
		}
	}
	_, err := d.db.exec(ctx, d.tx, "UPDATE broadcast SET next = $1 WHERE id = $2", d.db.Dialect.Time(r.next), r.id)
	return err
}

// finishIdle notes that nothing is left of a broadcast.
func (d *dealer) finishIdle(ctx context.Context, r *running) error {
	_, err := d.db.exec(ctx, d.tx, `UPDATE broadcast SET state = 'done' WHERE id = $1 AND state = 'running'
		AND NOT EXISTS (SELECT 1 FROM broadcast_batch p WHERE p.broadcast_id = broadcast.id)
		AND NOT EXISTS (SELECT 1 FROM broadcast_retry y WHERE y.broadcast_id = broadcast.id)
		AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = broadcast.message_id AND m.direction = 'O'
			AND m.month = broadcast.month AND m.open_count > 0)`, r.id)
	return err
}
