package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

// A transaction that collides with another's is tried again, after a pause
// that grows and is drawn by lot so that the two do not meet again.
const (
	maxTries   = 8
	firstPause = 2 * time.Millisecond
	longPause  = 200 * time.Millisecond
)

// transact runs work in one transaction, again when it collides with others'.
// work must start from nothing each time.
func (db *DB) transact(ctx context.Context, work func(tx *sql.Tx) error) error {
	return db.retry(ctx, func() error { return db.once(ctx, work) })
}

func (db *DB) once(ctx context.Context, work func(tx *sql.Tx) error) error {
	tx, err := db.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning transaction: %w", err)
	}
	if err := work(tx); err != nil {
		_ = tx.Rollback() // work's error says why
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

func (db *DB) retry(ctx context.Context, try func() error) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == maxTries || !db.Dialect.Conflict(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, longPause)
	}
}
