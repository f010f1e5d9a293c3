package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"switchboard/store"
)

// Pause implements store.Broadcasts.
func (db *DB) Pause(ctx context.Context, id int64) error {
	return db.setState(ctx, id, store.BroadcastPaused, store.BroadcastRunning)
}

// Resume implements store.Broadcasts.
func (db *DB) Resume(ctx context.Context, id int64) error {
	if err := db.setState(ctx, id, store.BroadcastRunning, store.BroadcastPaused); err != nil {
		return err
	}
	// The tasks of leased batches were dropped while it was paused: lease them again.
	err := db.transact(ctx, func(tx *sql.Tx) error {
		now, err := db.clock(ctx, tx)
		if err != nil {
			return err
		}
		at := db.Dialect.Time(now)
		_, err = db.exec(ctx, tx, "UPDATE broadcast_batch SET due = $1 WHERE broadcast_id = $2 AND claimed IS NULL AND due > $3", at, id, at)
		return err
	})
	if err != nil {
		return fmt.Errorf("resuming broadcast %d: %w", id, err)
	}
	return nil
}

// setState changes the state of a broadcast from one of the states from.
func (db *DB) setState(ctx context.Context, id int64, to store.BroadcastState, from ...store.BroadcastState) error {
	allowed := make([]string, len(from))
	for i, state := range from {
		allowed[i] = "'" + string(state) + "'"
	}
	return db.transact(ctx, func(tx *sql.Tx) error {
		n, err := db.exec(ctx, tx, "UPDATE broadcast SET state = $1 WHERE id = $2 AND state IN ("+
			strings.Join(allowed, ", ")+")", string(to), id)
		if err != nil || n == 1 {
			return err
		}
		var state store.BroadcastState
		err = db.row(ctx, tx, "SELECT state FROM broadcast WHERE id = $1", id).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("broadcast %d: %w", id, store.ErrNotFound)
		}
		if err == nil && state != to {
			err = fmt.Errorf("broadcast %d is %s, and cannot become %s", id, state, to)
		}
		return err
	})
}

// Cancel implements store.Broadcasts.
func (db *DB) Cancel(ctx context.Context, id int64) error {
	if err := db.setState(ctx, id, store.BroadcastCancelled, store.BroadcastRunning, store.BroadcastPaused); err != nil {
		return err
	}
	if err := db.cancelRemaining(ctx, id); err != nil {
		return fmt.Errorf("cancelling broadcast %d: %w", id, err)
	}
	return nil
}

const infoColumns = `b.id, b.message_id, b.name, b.text, b.state, m.status, b.created, b.start, b.rate, b.retries, b.total,
	coalesce(m.open_count, 0), coalesce(m.sent_count, 0), coalesce(m.done_count, 0), coalesce(m.error_count, 0),
	b.duplicates, b.opted_out,
	(SELECT count(*) FROM broadcast_batch p WHERE p.broadcast_id = b.id),
	(SELECT count(*) FROM broadcast_retry y WHERE y.broadcast_id = b.id)
	FROM broadcast b LEFT JOIN message m ON m.id = b.message_id AND m.direction = 'O' AND m.month = b.month`

func scanInfo(rows *sql.Rows) (i store.BroadcastInfo, err error) {
	err = rows.Scan(&i.ID, &i.MessageID, &i.Name, &i.Text, &i.State, scanNull[store.Status]{&i.Message}, scanTime{&i.Created},
		scanTime{&i.Start}, &i.Rate, &i.Retries, &i.Total, &i.Open, &i.Sent, &i.Delivered, &i.Error,
		&i.Duplicates, &i.OptedOut, &i.Batches, &i.Retrying)
	return i, err
}

// Broadcast implements store.Broadcasts.
func (db *DB) Broadcast(ctx context.Context, id int64) (*store.BroadcastInfo, error) {
	list, err := db.infos(ctx, " WHERE b.id = $1", id)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("broadcast %d: %w", id, err)
	}
	if list[0].Open > 0 {
		w := db.conditions(&store.Filter{Broadcast: id, Status: store.StatusPassing, Direction: store.Outbound})
		if list[0].HandedOver, err = db.counts(ctx, w); err != nil {
			return nil, fmt.Errorf("broadcast %d: counting what is handed over: %w", id, err)
		}
	}
	return &list[0], nil
}

// List implements store.Broadcasts.
func (db *DB) List(ctx context.Context, limit int, ids ...int64) ([]store.BroadcastInfo, error) {
	where := ""
	if len(ids) > 0 {
		texts := make([]string, len(ids))
		for i, id := range ids {
			texts[i] = strconv.FormatInt(id, 10)
		}
		where = " WHERE b.id IN (" + strings.Join(texts, ", ") + ")"
	}
	list, err := db.infos(ctx, where+" ORDER BY b.id DESC LIMIT $1", limit)
	if err != nil {
		return nil, fmt.Errorf("listing broadcasts: %w", err)
	}
	return list, nil
}

func (db *DB) infos(ctx context.Context, rest string, args ...any) (list []store.BroadcastInfo, err error) {
	err = db.query(ctx, db.Read, func(rows *sql.Rows) error {
		i, err := scanInfo(rows)
		list = append(list, i)
		return err
	}, "SELECT "+infoColumns+rest, args...)
	return list, err
}

// The bounds of what one transaction cancels: about so many transmissions, in so many batches.
const (
	cancelTransmissions = 5000
	cancelBatches       = 100
)

// cancelRemaining cancels the rest of a broadcast part by part. A batch is deleted with its
// transmissions' cancellation; resumeCancels completes what was interrupted.
func (db *DB) cancelRemaining(ctx context.Context, broadcast int64) error {
	for more := true; more; {
		err := db.transact(ctx, func(tx *sql.Tx) (err error) {
			more, err = db.cancelPart(ctx, tx, broadcast)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// resumeCancels cancels a part of each broadcast whose cancellation was interrupted.
func (db *DB) resumeCancels(ctx context.Context) error {
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
				_, err := db.cancelPart(ctx, tx, id)
				return err
			})
		}
	}
	if err != nil {
		return fmt.Errorf("withdrawing what is left of cancelled broadcasts: %w", err)
	}
	return nil
}

type cancelledPart struct {
	batches     []int64
	retries     []int64 // retry batches among them
	month       int64
	first, last string // transmission ids of the other batches; empty without any
}

// cancelPart cancels a part, and reports whether there may be more.
func (db *DB) cancelPart(ctx context.Context, tx *sql.Tx, broadcast int64) (more bool, err error) {
	w, err := db.nextCancelPart(ctx, tx, broadcast)
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
	known, err := b.lockQueued(ctx, w)
	if err != nil {
		return false, err
	}
	for _, t := range known {
		if t.Progress == store.Queued {
			b.updates[t.wireID] = []*update{{wireID: t.wireID, backend: t.backend, progress: store.Cancelled, reason: "broadcast cancelled"}}
		}
	}
	if err := b.update(ctx, known); err != nil {
		return false, err
	}
	return true, b.deleteBatches(ctx, w.batches)
}

func (db *DB) nextCancelPart(ctx context.Context, tx *sql.Tx, broadcast int64) (w cancelledPart, err error) {
	size := int64(0)
	err = db.query(ctx, tx, func(rows *sql.Rows) error {
		var id, n int64
		var first, last string
		if err := rows.Scan(&id, &n, scanNull[string]{&first}, scanNull[string]{&last}, &w.month); err != nil || size >= cancelTransmissions {
			return err
		}
		size += n
		w.batches = append(w.batches, id)
		if first == "" {
			w.retries = append(w.retries, id)
		}
		w.first, w.last = lesserText(w.first, first), max(w.last, last)
		return nil
	}, `SELECT p.id, p.size, p.first_id, p.last_id, b.month FROM broadcast_batch p JOIN broadcast b ON b.id = p.broadcast_id
		WHERE p.broadcast_id = $1 ORDER BY p.id LIMIT $2`+db.Dialect.ForUpdate("p"), broadcast, cancelBatches)
	return w, err
}

// lockQueued locks the transmissions of a part.
func (b *batch) lockQueued(ctx context.Context, w cancelledPart) (known []*transmission, err error) {
	if w.first != "" {
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			t, err := scanTransmission(rows)
			known = append(known, t)
			return err
		}, "SELECT "+transmissionFields+` FROM transmission t WHERE t.id >= $1 AND t.id <= $2 AND t.direction = 'O' AND t.month = $3
			AND t.progress = $4 ORDER BY t.id`+b.db.Dialect.ForUpdate("t"), w.first, w.last, w.month, int64(store.Queued))
		if err != nil {
			return nil, err
		}
	}
	for _, id := range w.retries {
		ids, err := b.retryIDs(ctx, &claim{id: id})
		if err != nil {
			return nil, err
		}
		retried, err := b.lock(ctx, ids, []int64{w.month})
		if err != nil {
			return nil, err
		}
		known = append(known, retried...)
	}
	return known, nil
}

func (b *batch) deleteBatches(ctx context.Context, ids []int64) error {
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
