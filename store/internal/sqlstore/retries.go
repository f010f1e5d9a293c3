package sqlstore

import (
	"context"
	"time"
)

// scheduleRetries plans another attempt at a broadcast's transmissions that
// came to be E in this batch, unless they had their tries. One that is already
// in a batch of retries leaves it: what failed was the attempt of that batch.
func (b *batch) scheduleRetries(ctx context.Context) error {
	if len(b.retries) == 0 {
		return nil
	}
	rows := make([][]any, len(b.retries))
	for i, t := range b.retries {
		rows[i] = []any{t.id, t.broadcast, t.backend, int64(t.Attempt), b.now}
	}
	const columns = "id, broadcast_id, backend_id, attempt, now"
	types := []Type{Text, Int, Int, Int, Time}
	due := b.db.Dialect.After("r.now", "b.retry_after")
	err := b.each(ctx, rows, columns, types, `INSERT INTO broadcast_retry (id, broadcast_id, backend_id, due)
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
