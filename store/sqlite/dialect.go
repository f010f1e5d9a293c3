package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"switchboard/store/internal/sqlstore"
)

type dialect struct{}

var _ sqlstore.Dialect = dialect{}

// Rows returns VALUES. Its parameters have no numbers: SQLite searches all parameters for each
// numbered one.
func (dialect) Rows(types []sqlstore.Type, rows [][]any) (string, []any) {
	var expr strings.Builder
	args := make([]any, 0, len(rows)*len(types))
	for i, row := range rows {
		if i == 0 {
			expr.WriteString("(VALUES (")
		} else {
			expr.WriteString(",(")
		}
		for j := range types {
			if j > 0 {
				expr.WriteByte(',')
			}
			expr.WriteByte('?')
			args = append(args, value(row[j]))
		}
		expr.WriteByte(')')
	}
	return expr.String() + ")", args
}

// value stores times as microseconds since 1970.
func value(v any) any {
	if at, ok := v.(time.Time); ok {
		return at.UnixMicro()
	}
	return v
}

// SQLite takes 32,766 parameters. More rows than some hundred save nothing.
const (
	maxParameters = 30_000
	maxRows       = 400
)

func (dialect) MaxRows(columns int) int { return min(maxRows, maxParameters/max(columns, 1)) }

func (dialect) Statement(query string) string { return strings.ReplaceAll(query, "$", "?") }

func (dialect) Now() string { return "CAST(unixepoch('subsec') * 1000000 AS INTEGER)" }

// ForUpdate is empty: a writing transaction runs alone.
func (dialect) ForUpdate(string) string { return "" }

func (dialect) SkipLocked(string) string { return "" }

func (dialect) SkipReferred(string) string { return "" }

// Integer is NULL when the blob is no number, which violates NOT NULL. A plain cast would read
// any text as 0.
func (dialect) Integer(expr string) string {
	text := "CAST(" + expr + " AS TEXT)"
	number := "CAST(" + text + " AS INTEGER)"
	return "CASE WHEN CAST(" + number + " AS TEXT) = " + text + " THEN " + number + " END"
}

func (dialect) Bytes(expr string) string {
	return "CAST(CAST(CAST(" + expr + " AS INTEGER) AS TEXT) AS BLOB)"
}

func (dialect) Serial(n string) string { return "printf('%012x', " + n + ")" }

func (dialect) After(at, micros string) string { return "(" + at + " + " + micros + ")" }

func (dialect) Time(t time.Time) any { return t.UnixMicro() }

func (dialect) Analyze(string) string { return "" }

func (d dialect) Copy(ctx context.Context, c *sql.Conn, table string, columns []string, rows iter.Seq2[[]any, error]) (int64, error) {
	var n int64
	part := make([][]any, 0, d.MaxRows(len(columns)))
	flush := func() error {
		if len(part) == 0 {
			return nil
		}
		expr, args := d.Rows(make([]sqlstore.Type, len(columns)), part)
		_, err := c.ExecContext(ctx, "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") SELECT * FROM "+expr, args...)
		n += int64(len(part))
		part = part[:0]
		return err
	}
	for row, err := range rows {
		if err != nil {
			return n, err
		}
		if part = append(part, row); len(part) == cap(part) {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	return n, flush()
}

func code(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func (dialect) HasVersionTable() string {
	return "SELECT count(*) > 0 FROM sqlite_master WHERE name = 'goose_db_version'"
}

func (dialect) Conflict(err error) bool {
	c := code(err)
	return c == codes.SQLITE_BUSY || c == codes.SQLITE_LOCKED
}

// MakeMonths does nothing: there are no partitions.
func (dialect) MakeMonths(context.Context, *sql.DB, []int64) error { return nil }

// Months implements sqlstore.Dialect.
func (dialect) Months() string {
	return "SELECT month FROM transmission UNION SELECT month FROM message UNION SELECT month FROM event ORDER BY 1"
}

// DropMonth does nothing: there are no partitions.
func (dialect) DropMonth(context.Context, *sql.DB, int64, string) (bool, error) { return false, nil }

func (dialect) NoMonth(error) bool { return false }

func (dialect) BadData(err error) bool {
	switch code(err) {
	case codes.SQLITE_CONSTRAINT, codes.SQLITE_MISMATCH, codes.SQLITE_TOOBIG:
		return true
	}
	return false
}
