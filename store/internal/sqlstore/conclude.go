package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// nothingLeft is a broadcast of which all is S, D or E and nothing is due.
const nothingLeft = ` AND NOT EXISTS (SELECT 1 FROM broadcast_batch p WHERE p.broadcast_id = b.id)
	AND NOT EXISTS (SELECT 1 FROM broadcast_retry y WHERE y.broadcast_id = b.id)
	AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = b.message_id AND m.direction = 'O'
		AND m.month = b.month AND m.open_count > 0)`

// Conclude notes which broadcasts are done: see store.Broadcasts.
//
// Somebody may be recording at this moment that one of their transmissions
// failed, which plans a retry. Who does so refers to the broadcast, and is not
// seen before it is committed; so broadcasts that are being referred to are
// passed over, the others are locked, and then it is looked again.
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
	return db.finishCancels(ctx)
}
