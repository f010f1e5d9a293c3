package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"switchboard/store"
)

// scheduleRetries plans another attempt at a broadcast's transmissions that
// came to be E in this batch, unless they had their tries. One that is already
// in a batch of retries leaves it: what failed was the attempt of that batch.
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
	// A report may fail after all seemed done.
	return b.each(ctx, rows, columns, types, `UPDATE broadcast SET state = 'running' WHERE state = 'done'
		AND id IN (SELECT y.broadcast_id FROM broadcast_retry y WHERE y.id IN (SELECT id FROM r))`)
}

// micros is a duration as it is stored.
func micros(d time.Duration) int64 { return d.Microseconds() }

// gatherRetries makes up to limit batches, already lent, of the retries that
// are due, those that wait longest first.
func (d *dealer) gatherRetries(ctx context.Context, r *running, limit int) (batches []store.Batch, err error) {
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

func (d *dealer) retryBatch(ctx context.Context, r *running, backend int64, ids [][]any) (batch int64, err error) {
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
