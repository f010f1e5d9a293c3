package sqlstore

import (
	"context"
	"fmt"
	"time"

	"switchboard/store"
)

var _ store.Janitor = (*DB)(nil)

// Retention forgets what is old: see store.Janitor.
func (db *DB) Retention(ctx context.Context, keepMonths int) (int64, error) {
	if keepMonths < 0 {
		return 0, fmt.Errorf("retention of %d months: it must not be negative", keepMonths)
	}
	oldest := addMonths(monthOf(time.Now()), -keepMonths)
	db.months.forget()
	var n int64
	err := db.retry(ctx, func() error {
		dropped, err := db.Dialect.DropMonths(ctx, db.Write, oldest)
		n += dropped
		return err
	})
	if err != nil {
		return n, fmt.Errorf("dropping months before %d: %w", oldest, err)
	}
	before := db.Dialect.Time(time.Date(int(oldest/100), time.Month(oldest%100), 1, 0, 0, 0, 0, time.UTC))
	for _, old := range []struct{ table, key, condition string }{
		{"message", "id", "month = 0 AND updated < $1"},
		{"transmission", "id", "month = 0 AND updated < $1"},
		{"event", "id", "month = 0 AND recorded < $1"},
		{"early", "event_id", "recorded < $1"},
		{"broadcast", "id", "state IN ('done', 'cancelled') AND created < $1"},
	} {
		if err := db.deleteOld(ctx, old.table, old.key, old.condition, before); err != nil {
			return n, fmt.Errorf("deleting old rows of %s: %w", old.table, err)
		}
	}
	return n, nil
}

// deleteOld deletes in bounded batches what has no partition to drop.
func (db *DB) deleteOld(ctx context.Context, table, key, condition string, before any) error {
	for {
		n, err := db.exec(ctx, db.Write, fmt.Sprintf("DELETE FROM %[1]s WHERE %[3]s AND %[2]s IN (SELECT %[2]s FROM %[1]s WHERE %[3]s LIMIT $2)",
			table, key, condition), before, sweepBatch)
		if err != nil || n == 0 {
			return err
		}
	}
}
