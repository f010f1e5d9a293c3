package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

var partitioned = [...]string{"message", "transmission", "event"}

// monthsLock is the advisory lock for making and dropping partitions. All schemas of a
// database share it; it is held for milliseconds.
const monthsLock = 0x5357_4d4f

// missingPartition distinguishes the two meanings of noPartition in any language of the
// server: a violated constraint has a name.
func missingPartition(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.ConstraintName == ""
}

func (dialect) NoMonth(err error) bool { return code(err) == noPartition && missingPartition(err) }

// MakeMonths makes missing partitions. It attaches tables that exist already, which does not
// block readers and writers.
func (dialect) MakeMonths(ctx context.Context, db *sql.DB, months []int64) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after Commit
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", monthsLock); err != nil {
		return err
	}
	for _, month := range months {
		for _, table := range partitioned {
			if err := makePartition(ctx, tx, table, month); err != nil {
				return fmt.Errorf("making partition %s_%d: %w", table, month, err)
			}
		}
	}
	return tx.Commit()
}

func makePartition(ctx context.Context, tx *sql.Tx, table string, month int64) error {
	name := fmt.Sprintf("%s_%d", table, month)
	var there bool
	err := tx.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)", name, table))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN (%d)", table, name, month))
	return err
}

// lockWait bounds how long dropping a partition waits for readers, since all others wait
// behind it.
const lockWait = "2s"

// Months implements sqlstore.Dialect.
func (dialect) Months() string {
	return `SELECT DISTINCT substring(c.relname FROM '[0-9]+$')::bigint FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent IN (to_regclass('message'), to_regclass('transmission'), to_regclass('event')) ORDER BY 1`
}

// DropMonth implements sqlstore.Dialect.
func (dialect) DropMonth(ctx context.Context, db *sql.DB, month int64, open string) (dropped bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after Commit
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+lockWait+"'"); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", monthsLock); err != nil {
		return false, err
	}
	var keep bool
	if err := tx.QueryRowContext(ctx, open).Scan(&keep); err != nil || keep {
		return false, err
	}
	for _, table := range partitioned {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s_%d", table, month)); err != nil {
			return false, err
		}
	}
	return true, tx.Commit()
}
