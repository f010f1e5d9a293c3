package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"switchboard/store"
)

// maxRunning bounds how many broadcasts a call of Due or Conclude looks at.
const maxRunning = 100

// Due implements store.Broadcasts.
func (db *DB) Due(ctx context.Context, limit int, lease time.Duration) (due []store.Batch, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		due = nil
		d := &leaser{db: db, tx: tx, lease: lease}
		if d.now, err = db.clock(ctx, tx); err != nil {
			return err
		}
		list, err := d.running(ctx)
		if err != nil {
			return err
		}
		for i := range list {
			// Equal shares: a small broadcast does not wait for a large one.
			share := (limit - len(due)) / (len(list) - i)
			batches, err := d.leaseBatches(ctx, &list[i], max(share, 1))
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
		return nil, fmt.Errorf("leasing batches: %w", err)
	}
	return due, nil
}

// clock is the database's time, which all workers share.
func (db *DB) clock(ctx context.Context, q querier) (time.Time, error) {
	var micros int64
	if err := db.row(ctx, q, "SELECT "+db.Dialect.Now()).Scan(&micros); err != nil {
		return time.Time{}, fmt.Errorf("reading the database's clock: %w", err)
	}
	return time.UnixMicro(micros).UTC(), nil
}

// runningBroadcast is a broadcast of which something is due.
type runningBroadcast struct {
	id   int64
	next time.Time
	rate float64
	size int
}

// leaser is one transaction that leases batches.
type leaser struct {
	db    *DB
	tx    *sql.Tx
	now   time.Time
	lease time.Duration
}

func (d *leaser) at() any { return d.db.Dialect.Time(d.now) }

// running locks the broadcasts of which something is due, those that wait longest first.
func (d *leaser) running(ctx context.Context) (list []runningBroadcast, err error) {
	err = d.db.query(ctx, d.tx, func(rows *sql.Rows) error {
		var r runningBroadcast
		err := rows.Scan(&r.id, scanTime{&r.next}, &r.rate, &r.size)
		list = append(list, r)
		return err
	}, `SELECT b.id, b.next, b.rate, b.batch_size FROM broadcast b
		WHERE b.state = 'running' AND b.start <= $1 AND b.next <= $2
		AND (EXISTS (SELECT 1 FROM broadcast_batch p WHERE p.broadcast_id = b.id AND p.due <= $3)
			OR EXISTS (SELECT 1 FROM broadcast_retry y WHERE y.broadcast_id = b.id AND y.batch_id IS NULL AND y.due <= $4))
		ORDER BY b.next, b.id LIMIT $5`+d.db.Dialect.SkipLocked("b"), d.at(), d.at(), d.at(), d.at(), maxRunning)
	return list, err
}

// leaseBatches leases up to limit batches of a broadcast.
func (d *leaser) leaseBatches(ctx context.Context, r *runningBroadcast, limit int) ([]store.Batch, error) {
	batches, err := d.batches(ctx, r, limit)
	if err != nil {
		return nil, err
	}
	if len(batches) < limit {
		retries, err := d.makeRetryBatches(ctx, r, limit-len(batches))
		if err != nil {
			return nil, fmt.Errorf("gathering retries: %w", err)
		}
		batches = append(batches, retries...)
	}
	batches = r.throttle(batches, d.now)
	return batches, d.markLeased(ctx, r, batches)
}

func (d *leaser) batches(ctx context.Context, r *runningBroadcast, limit int) (batches []store.Batch, err error) {
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

// throttle returns the batches that the rate allows now, and sets when more may follow.
func (r *runningBroadcast) throttle(batches []store.Batch, now time.Time) []store.Batch {
	if r.rate <= 0 {
		return batches
	}
	for i, b := range batches {
		if r.next.After(now) {
			return batches[:i]
		}
		takes := time.Duration(float64(b.Size) / r.rate * float64(time.Second))
		// Time without sending is not made up for by a burst.
		if late := now.Add(-time.Second); r.next.Before(late) {
			r.next = now
		}
		r.next = r.next.Add(takes)
	}
	return batches
}

func (d *leaser) markLeased(ctx context.Context, r *runningBroadcast, batches []store.Batch) error {
	ids := make([]int64, len(batches))
	for i, b := range batches {
		ids[i] = b.ID
	}
	if err := d.db.setDue(ctx, d.tx, ids, d.now.Add(d.lease), ""); err != nil {
		return err
	}
	_, err := d.db.exec(ctx, d.tx, "UPDATE broadcast SET next = $1 WHERE id = $2", d.db.Dialect.Time(r.next), r.id)
	return err
}

// setDue sets when batches are due; condition may exclude some.
func (db *DB) setDue(ctx context.Context, q querier, batches []int64, at time.Time, condition string) error {
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

// Release implements store.Broadcasts.
func (db *DB) Release(ctx context.Context, batches []int64) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		now, err := db.clock(ctx, tx)
		if err != nil {
			return err
		}
		return db.setDue(ctx, tx, batches, now, " AND claimed IS NULL")
	})
	if err != nil {
		return fmt.Errorf("releasing batches: %w", err)
	}
	return nil
}

// scheduleRetries schedules another attempt of a broadcast's transmissions that became E in
// this batch and have tries left. One that is in a batch of retries leaves it: that attempt
// has failed.
func (b *batch) scheduleRetries(ctx context.Context) error {
	if len(b.retries) == 0 {
		return nil
	}
	now, err := b.db.clock(ctx, b.tx)
	if err != nil {
		return err
	}
	rows := make([][]any, len(b.retries))
	for i, t := range b.retries {
		rows[i] = []any{t.id, t.broadcast, t.backend, int64(t.Attempt), now}
	}
	const columns = "id, broadcast_id, backend_id, attempt, now"
	types := []Type{Text, Int, Int, Int, Time}
	due := b.db.Dialect.After("r.now", "b.retry_after")
	err = b.each(ctx, rows, columns, types, `INSERT INTO broadcast_retry (id, broadcast_id, backend_id, due)
		SELECT r.id, r.broadcast_id, r.backend_id, `+due+` FROM r JOIN broadcast b ON b.id = r.broadcast_id
		WHERE r.attempt <= b.retries AND b.state <> 'cancelled'
		ON CONFLICT (id) DO UPDATE SET due = excluded.due, batch_id = NULL`)
	if err != nil {
		return err
	}
	// A report may fail after the broadcast was done.
	return b.each(ctx, rows, columns, types, `UPDATE broadcast SET state = 'running' WHERE state = 'done'
		AND id IN (SELECT y.broadcast_id FROM broadcast_retry y WHERE y.id IN (SELECT id FROM r))`)
}

func micros(d time.Duration) int64 { return d.Microseconds() }

// makeRetryBatches makes up to limit batches of the retries that are due, the longest due
// first.
func (d *leaser) makeRetryBatches(ctx context.Context, r *runningBroadcast, limit int) (batches []store.Batch, err error) {
	backends := map[int64][][]any{}
	names := map[int64]string{}
	err = d.db.query(ctx, d.tx, func(rows *sql.Rows) error {
		var id, name string
		var backend int64
		err := rows.Scan(&id, &backend, &name)
		backends[backend], names[backend] = append(backends[backend], []any{id}), name
		return err
	}, `SELECT y.id, y.backend_id, b.name FROM broadcast_retry y JOIN backend b ON b.id = y.backend_id
		WHERE y.broadcast_id = $1 AND y.batch_id IS NULL AND y.due <= $2 ORDER BY y.due, y.id LIMIT $3`+
		d.db.Dialect.SkipLocked("y"), r.id, d.at(), limit*r.size)
	if err != nil {
		return nil, err
	}
	for backend, ids := range backends {
		for part := range slices.Chunk(ids, r.size) {
			b := store.Batch{Broadcast: r.id, Backend: names[backend], Size: len(part), Rate: r.rate}
			if b.ID, err = d.retryBatch(ctx, r, backend, part); err != nil {
				return nil, err
			}
			batches = append(batches, b)
		}
	}
	return batches, nil
}

func (d *leaser) retryBatch(ctx context.Context, r *runningBroadcast, backend int64, ids [][]any) (batch int64, err error) {
	err = d.db.row(ctx, d.tx, `INSERT INTO broadcast_batch (broadcast_id, backend_id, retry, size, due)
		VALUES ($1, $2, $3, $4, $5) RETURNING id`, r.id, backend, true, len(ids), d.at()).Scan(&batch)
	if err != nil {
		return 0, err
	}
	for part := range d.db.chunks(ids) {
		with, args := d.db.with("r", "id", []Type{Text}, part)
		_, err := d.db.exec(ctx, d.tx, with+"UPDATE broadcast_retry SET batch_id = "+param(len(args)+1)+
			" WHERE id IN (SELECT id FROM r)", append(args, batch)...)
		if err != nil {
			return 0, err
		}
	}
	return batch, nil
}

// nothingLeft matches a broadcast whose transmissions are all S, D or E and that has no
// retries.
const nothingLeft = ` AND NOT EXISTS (SELECT 1 FROM broadcast_batch p WHERE p.broadcast_id = b.id)
	AND NOT EXISTS (SELECT 1 FROM broadcast_retry y WHERE y.broadcast_id = b.id)
	AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = b.message_id AND m.direction = 'O'
		AND m.month = b.month AND m.open_count > 0)`

// Conclude implements store.Broadcasts.
//
// A recorder may be scheduling a retry in an open transaction. That one refers to the
// broadcast. So Conclude skips broadcasts that are referred to, locks the others, and then
// checks them again.
func (db *DB) Conclude(ctx context.Context) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		var rows [][]any
		err := db.query(ctx, tx, func(found *sql.Rows) error {
			var id int64
			err := found.Scan(&id)
			rows = append(rows, []any{id})
			return err
		}, "SELECT b.id FROM broadcast b WHERE b.state = 'running'"+nothingLeft+
			" ORDER BY b.id LIMIT $1"+db.Dialect.SkipReferred("b"), maxRunning)
		if err != nil {
			return err
		}
		for part := range db.chunks(rows) {
			with, args := db.with("r", "id", []Type{Int}, part)
			_, err := db.exec(ctx, tx, with+"UPDATE broadcast AS b SET state = 'done' WHERE b.id IN (SELECT id FROM r)"+
				" AND b.state = 'running'"+nothingLeft, args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("concluding broadcasts: %w", err)
	}
	return db.resumeCancels(ctx)
}
