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
	"iter"
	"time"
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
	// BadData says that a statement failed because of the values it was given.
	BadData(err error) bool
}

// DB is one database: a pool that writes, and one that reads (which may be the
// same).
type DB struct {
	Write   *sql.DB
	Read    *sql.DB
	Dialect Dialect

	names  names
	months months
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
