// Package sqlstore is what the PostgreSQL and the SQLite store share: one set
// of statements and one course of action, over a Dialect that knows how the
// two differ.
//
// Every statement works on a set of rows, never on one: rows travel as one
// table expression (Dialect.Rows), so a batch costs a handful of round trips
// whatever its size.
package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"iter"
	"reflect"
	"sync"
	"time"

	"switchboard/internal/backoff"
)

// Type is the type of a column in a set of rows.
type Type uint8

// The column types, with the Go values they take; nil is NULL.
const (
	Text Type = iota // string
	Blob             // []byte
	Int              // int64
	Time             // time.Time, kept to the microsecond
)

// Dialect is what a database does in its own way. Statements are written with
// $1, $2, … in both.
type Dialect interface {
	// Rows makes a table expression of rows. It must come before all other
	// parameters of the statement: its own are $1 and those that follow.
	Rows(types []Type, rows [][]any) (expr string, args []any)
	// MaxRows is how many rows of that many columns one statement takes.
	MaxRows(columns int) int
	// Statement turns a statement into the database's own spelling.
	Statement(query string) string
	// Now is an expression: the database's clock in microseconds since 1970.
	Now() string
	// ForUpdate is what a SELECT ends with to lock what it reads of a table,
	// in the order it is read.
	ForUpdate(table string) string
	// SkipLocked is like ForUpdate, passes over rows others have locked, and
	// lets others refer to the rows.
	SkipLocked(table string) string
	// SkipReferred is like SkipLocked, and also passes over rows that others
	// refer to in transactions that have not ended, and lets nobody do so.
	SkipReferred(table string) string
	// Integer is an expression that reads a whole number from a blob.
	Integer(expr string) string
	// Bytes is an expression that writes a whole number as a blob.
	Bytes(expr string) string
	// Serial is an expression: n, a whole number, as 12 hex digits.
	Serial(n string) string
	// After is an expression: a time, and microseconds after it.
	After(at, micros string) string
	// Time is a time as a parameter.
	Time(t time.Time) any
	// Analyze is a statement that counts a table for the planner, where the
	// database does not do so in time by itself.
	Analyze(table string) string
	// Copy fills a table from a sequence, holding no more than a little of it.
	Copy(ctx context.Context, c *sql.Conn, table string, columns []string, rows iter.Seq2[[]any, error]) (int64, error)
	// DropMonths forgets the months before oldest, and says how much it was.
	DropMonths(ctx context.Context, db *sql.DB, oldest int64) (int64, error)
	// Conflict says that a statement failed because of what others did at the
	// same time: all of its transaction may be tried again.
	Conflict(err error) bool
	// MakeMonths makes the partitions of months (year*100 + month).
	MakeMonths(ctx context.Context, db *sql.DB, months []int64) error
	// NoMonth says that a statement failed because a partition is missing.
	NoMonth(err error) bool
	// HasVersionTable is a query: whether anything was ever migrated.
	HasVersionTable() string
	// BadData says that a statement failed because of the values it was given.
	BadData(err error) bool
}

// DB is one database: a pool that writes, and one that reads (which may be the
// same).
type DB struct {
	Write      *sql.DB
	Read       *sql.DB
	Dialect    Dialect
	Migrations fs.FS

	names  names
	months months
	jobs   sync.WaitGroup
	stop   context.CancelFunc
}

// with starts a statement with a set of rows under a name:
// `WITH name(columns) AS (…) `.
func (db *DB) with(name, columns string, types []Type, rows [][]any) (string, []any) {
	expr, args := db.Dialect.Rows(types, rows)
	return fmt.Sprintf("WITH %s(%s) AS (SELECT * FROM %s) ", name, columns, expr), args
}

// querier is what a pool and a transaction have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// query runs a statement and gives each row to scan.
func (db *DB) query(ctx context.Context, q querier, scan func(*sql.Rows) error, statement string, args ...any) error {
	rows, err := q.QueryContext(ctx, db.Dialect.Statement(statement), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// row runs a statement that yields one row.
func (db *DB) row(ctx context.Context, q querier, statement string, args ...any) *sql.Row {
	return q.QueryRowContext(ctx, db.Dialect.Statement(statement), args...)
}

// exec runs a statement and says how many rows it touched.
func (db *DB) exec(ctx context.Context, q querier, statement string, args ...any) (int64, error) {
	done, err := q.ExecContext(ctx, db.Dialect.Statement(statement), args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// chunks cuts rows into what one statement takes.
func (db *DB) chunks(rows [][]any) iter.Seq[[][]any] {
	return func(yield func([][]any) bool) {
		for len(rows) > 0 {
			n := min(len(rows), db.Dialect.MaxRows(len(rows[0])))
			if !yield(rows[:n]) {
				return
			}
			rows = rows[n:]
		}
	}
}

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
	retry := backoff.Backoff{Min: firstPause, Max: longPause}
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == maxTries || !db.Dialect.Conflict(err) {
			return err
		}
		if !retry.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// moment scans a time of either database; NULL is the zero time.
type scanTime struct{ to *time.Time }

// Scan takes a timestamp, or microseconds since 1970.
func (m scanTime) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*m.to = time.Time{}
	case time.Time:
		*m.to = v.UTC()
	case int64:
		*m.to = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("reading a time from %T", value)
	}
	return nil
}

// scanNull scans a text or a number of which NULL is the zero value.
type scanNull[T ~string | ~int64] struct{ to *T }

// Scan takes what database/sql's drivers give.
func (o scanNull[T]) Scan(value any) error {
	var zero T
	*o.to = zero
	to := reflect.ValueOf(o.to).Elem()
	switch v := value.(type) {
	case string:
		to.SetString(v)
		return nil
	case []byte:
		to.SetString(string(v))
		return nil
	case int64:
		to.SetInt(v)
		return nil
	}
	if value == nil {
		return nil
	}
	return fmt.Errorf("reading a %T from %T", zero, value)
}

// null is nil for the zero value: NULL where rows travel.
func null[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// when is nil for the zero time.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Truncate(time.Microsecond)
}

// earliest is the earlier of two times, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// least is the lesser of two texts, where empty is none.
func lesserText(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// utc is a time as databases keep it.
func utc(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
