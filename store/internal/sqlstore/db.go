// Package sqlstore implements the store for PostgreSQL and SQLite. A Dialect has what
// differs between the two.
//
// A statement works on a set of rows, passed as one table expression (Dialect.Rows): a
// batch of any size costs a handful of round trips.
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

// Dialect is what differs between databases. Statements are written with $1, $2, … for both.
type Dialect interface {
	// Rows returns a table expression. Its parameters are $1 and those that follow, before
	// all others of the statement.
	Rows(types []Type, rows [][]any) (expr string, args []any)
	// MaxRows is how many rows of so many columns one statement takes.
	MaxRows(columns int) int
	// Statement returns a statement in the database's own syntax.
	Statement(query string) string
	// Now is an expression: the database's clock in microseconds since 1970.
	Now() string
	// ForUpdate ends a SELECT that locks the rows it reads of a table, in their order.
	ForUpdate(table string) string
	// SkipLocked is like ForUpdate, skips rows that others have locked, and lets others
	// refer to the rows.
	SkipLocked(table string) string
	// SkipReferred is like SkipLocked, and also skips rows that open transactions refer to,
	// and lets none do so.
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
	// Analyze is a statement that makes a new table's statistics; empty where none is needed.
	Analyze(table string) string
	// Copy streams a sequence into a table.
	Copy(ctx context.Context, c *sql.Conn, table string, columns []string, rows iter.Seq2[[]any, error]) (int64, error)
	// Months is a query: the months that the record has.
	Months() string
	// DropMonth drops a month's partitions unless the query open returns true; it reports
	// whether it did.
	DropMonth(ctx context.Context, db *sql.DB, month int64, open string) (dropped bool, err error)
	// Conflict reports a failure caused by a concurrent transaction: trying the whole
	// transaction again may succeed.
	Conflict(err error) bool
	// MakeMonths makes the partitions of months (year*100 + month).
	MakeMonths(ctx context.Context, db *sql.DB, months []int64) error
	// NoMonth reports a failure caused by a missing partition.
	NoMonth(err error) bool
	// HasVersionTable is a query: whether goose_db_version exists.
	HasVersionTable() string
	// BadData reports a failure caused by the values of the statement.
	BadData(err error) bool
}

// DB is one database: a pool that writes, and one that reads, which may be the same.
type DB struct {
	Write   *sql.DB
	Read    *sql.DB
	Dialect Dialect

	migrations  fs.FS
	backends    *ids[string]
	connections *ids[connection]
	months      months
	numbers     numbers
	jobs        sync.WaitGroup
	stop        context.CancelFunc
}

// New makes a DB whose migrations are in the folder "migrations" of files.
func New(write, read *sql.DB, dialect Dialect, files fs.FS) *DB {
	migrations, _ := fs.Sub(files, "migrations") // fails for an invalid name alone
	return &DB{
		Write: write, Read: read, Dialect: dialect,
		migrations: migrations, backends: newBackends(), connections: newConnections(),
	}
}

// with begins a statement that uses rows: `WITH name(columns) AS (…) `.
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

// query runs a statement and calls scan for each row.
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

// row runs a statement that returns one row.
func (db *DB) row(ctx context.Context, q querier, statement string, args ...any) *sql.Row {
	return q.QueryRowContext(ctx, db.Dialect.Statement(statement), args...)
}

// exec runs a statement and returns how many rows it changed.
func (db *DB) exec(ctx context.Context, q querier, statement string, args ...any) (int64, error) {
	done, err := q.ExecContext(ctx, db.Dialect.Statement(statement), args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// chunks splits rows into what one statement takes.
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

// A transaction that conflicts with another is tried again after a growing random pause.
const (
	maxTries   = 8
	firstPause = 2 * time.Millisecond
	longPause  = 200 * time.Millisecond
)

// transact runs work in one transaction, again after a conflict. work must not keep anything
// of a failed run.
func (db *DB) transact(ctx context.Context, work func(tx *sql.Tx) error) error {
	return db.retry(ctx, func() error { return db.once(ctx, work) })
}

func (db *DB) once(ctx context.Context, work func(tx *sql.Tx) error) error {
	tx, err := db.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning transaction: %w", err)
	}
	if err := work(tx); err != nil {
		_ = tx.Rollback() // err is the cause
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

// scanTime reads a time from either database; NULL is the zero time.
type scanTime struct{ to *time.Time }

// Scan implements sql.Scanner for a timestamp, or microseconds since 1970.
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

// scanNull reads a text or a number; NULL is the zero value.
type scanNull[T ~string | ~int64] struct{ to *T }

// Scan implements sql.Scanner.
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

// null is nil, which is NULL, for the zero value.
func null[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// nullTime is nil, which is NULL, for the zero time.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Truncate(time.Microsecond)
}

// earliest is the earlier of two times; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// lesserText is the lesser of two texts; empty is none.
func lesserText(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// utc is a time as databases store it.
func utc(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
