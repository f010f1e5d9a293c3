package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"switchboard/store/internal/sqlstore"
)

type dialect struct{}

var _ sqlstore.Dialect = dialect{}

var typeNames = [...]string{
	sqlstore.Text: "text", sqlstore.Blob: "bytea", sqlstore.Int: "bigint", sqlstore.Time: "timestamptz",
}

// Rows passes each column as an array, so that one prepared statement serves any number of
// rows.
func (dialect) Rows(types []sqlstore.Type, rows [][]any) (string, []any) {
	var expr strings.Builder
	args := make([]any, len(types))
	for i, t := range types {
		sep := ", "
		if i == 0 {
			sep = "unnest("
		}
		fmt.Fprintf(&expr, "%s$%d::%s[]", sep, 1+i, typeNames[t])
		args[i] = column(t, rows, i)
	}
	return expr.String() + ")", args
}

func column(t sqlstore.Type, rows [][]any, i int) any {
	switch t {
	case sqlstore.Text:
		return pointers[string](rows, i)
	case sqlstore.Int:
		return pointers[int64](rows, i)
	case sqlstore.Time:
		return pointers[time.Time](rows, i)
	default:
		values := make([][]byte, len(rows))
		for n, row := range rows {
			values[n], _ = row[i].([]byte)
		}
		return values
	}
}

func pointers[T any](rows [][]any, i int) []*T {
	values := make([]T, len(rows))
	result := make([]*T, len(rows))
	for n, row := range rows {
		if v, ok := row[i].(T); ok {
			values[n] = v
			result[n] = &values[n]
		}
	}
	return result
}

func (dialect) MaxRows(int) int { return 5000 }

func (dialect) Statement(query string) string { return query }

func (dialect) Now() string {
	return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
}

func (dialect) ForUpdate(table string) string { return " FOR UPDATE OF " + table }

func (dialect) SkipLocked(table string) string {
	return " FOR NO KEY UPDATE OF " + table + " SKIP LOCKED"
}

func (dialect) SkipReferred(table string) string { return " FOR UPDATE OF " + table + " SKIP LOCKED" }

func (dialect) Integer(expr string) string { return "convert_from(" + expr + ", 'UTF8')::bigint" }

func (dialect) Bytes(expr string) string { return "convert_to((" + expr + ")::bigint::text, 'UTF8')" }

func (dialect) Serial(n string) string { return "lpad(to_hex(" + n + "), 12, '0')" }

func (dialect) After(at, micros string) string {
	return "(" + at + " + " + micros + " * interval '1 microsecond')"
}

func (dialect) Time(t time.Time) any { return t }

func (dialect) Analyze(table string) string { return "ANALYZE " + table }

func (dialect) Copy(ctx context.Context, c *sql.Conn, table string, columns []string, rows iter.Seq2[[]any, error]) (n int64, err error) {
	next, stop := iter.Pull2(rows)
	defer stop()
	var broken error // the server returns only its text
	source := pgx.CopyFromFunc(func() ([]any, error) {
		row, err, ok := next()
		if !ok {
			return nil, nil
		}
		broken = err
		return row, err
	})
	err = c.Raw(func(driver any) error {
		n, err = driver.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, source)
		return err
	})
	return n, cmp.Or(broken, err)
}

// SQLSTATE codes and classes (PostgreSQL manual, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"

	noPartition = "23514" // also a violated check constraint

	classData       = "22"
	classConstraint = "23"
	classLimit      = "54"
)

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func (dialect) HasVersionTable() string {
	return "SELECT to_regclass('goose_db_version') IS NOT NULL"
}

func (dialect) Conflict(err error) bool {
	switch code(err) {
	case serializationFailure, deadlockDetected, lockNotAvailable:
		return true
	}
	return false
}

func (dialect) BadData(err error) bool {
	c := code(err)
	if len(c) != 5 || c == noPartition && missingPartition(err) {
		return false
	}
	switch c[:2] {
	case classData, classConstraint, classLimit:
		return true
	}
	return false
}
