package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"switchboard/store"
)

// Pause holds a broadcast: see store.Broadcasts.
func (db *DB) Pause(ctx context.Context, id int64) error {
	return db.turn(ctx, id, store.BroadcastPaused, store.BroadcastRunning)
}

// Resume lets a paused broadcast go on: see store.Broadcasts.
func (db *DB) Resume(ctx context.Context, id int64) error {
	if err := db.turn(ctx, id, store.BroadcastRunning, store.BroadcastPaused); err != nil {
		return err
	}
	// Tasks that met the pause are gone, and their batches still lent for them.
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

// turn changes the state of a broadcast that has one of the states of from, or
// has the new one already.
func (db *DB) turn(ctx context.Context, id int64, to store.BroadcastState, from ...store.BroadcastState) error {
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

// Cancel withdraws what is left of a broadcast: see store.Broadcasts.
func (db *DB) Cancel(ctx context.Context, id int64) error {
	if err := db.turn(ctx, id, store.BroadcastCancelled, store.BroadcastRunning, store.BroadcastPaused); err != nil {
		return err
	}
	if err := db.withdraw(ctx, id); err != nil {
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
	err = rows.Scan(&i.ID, &i.MessageID, &i.Name, &i.Text, &i.State, orNull[store.Status]{&i.Message}, moment{&i.Created},
		moment{&i.Start}, &i.Rate, &i.Retries, &i.Total, &i.Open, &i.Sent, &i.Delivered, &i.Error,
		&i.Duplicates, &i.OptedOut, &i.Batches, &i.Retrying)
	return i, err
}

// Broadcast is one broadcast: see store.Broadcasts.
func (db *DB) Broadcast(ctx context.Context, id int64) (*store.BroadcastInfo, error) {
	list, err := db.infos(ctx, " WHERE b.id = $1", id)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("broadcast %d: %w", id, err)
	}
	return &list[0], nil
}

// List is the newest broadcasts: see store.Broadcasts.
func (db *DB) List(ctx context.Context, limit int) ([]store.BroadcastInfo, error) {
	list, err := db.infos(ctx, " ORDER BY b.id DESC LIMIT $1", limit)
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
