package send

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"switchboard/operate"
)

// sqlRows are what a SELECT on the record's own database yields, as it comes.
type sqlRows struct {
	db     *sql.DB
	tx     *sql.Tx
	rows   *sql.Rows
	values []sql.NullString
	into   []any
	line   int
}

// openQuery asks in a transaction that can only read.
func openQuery(ctx context.Context, url, query string, l *List) (_ *table, err error) {
	q := new(sqlRows)
	defer func() {
		if err != nil {
			q.close()
		}
	}()
	if q.db, err = openForReading(url); err != nil {
		return nil, err
	}
	if q.tx, err = q.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: !isSQLite(url)}); err != nil {
		return nil, fmt.Errorf("opening the database for --sql: %w", err)
	}
	if q.rows, err = q.tx.QueryContext(ctx, query); err != nil {
		return nil, operate.Misused(fmt.Errorf("--sql: %w", err))
	}
	columns, err := q.rows.Columns()
	if err != nil {
		return nil, err
	}
	q.values = make([]sql.NullString, len(columns))
	for i := range q.values {
		q.into = append(q.into, &q.values[i])
	}
	return newTable(columns, q, l)
}

func isSQLite(url string) bool { return strings.HasPrefix(url, "sqlite:") }

func openForReading(url string) (*sql.DB, error) {
	switch {
	case url == "":
		return nil, operate.Misused(errors.New("no database: set DATABASE_URL or --database-url to postgres://… or sqlite:PATH"))
	case isSQLite(url):
		return sql.Open("sqlite", "file:"+strings.TrimPrefix(url, "sqlite:")+"?mode=ro&_pragma=query_only(1)")
	}
	return sql.Open("pgx", url)
}

func (q *sqlRows) next(context.Context) ([]string, int, error) {
	if !q.rows.Next() {
		if err := q.rows.Err(); err != nil {
			return nil, q.line, fmt.Errorf("--sql: reading row %d: %w", q.line+1, err)
		}
		return nil, q.line, errEnd
	}
	q.line++
	if err := q.rows.Scan(q.into...); err != nil {
		return nil, q.line, fmt.Errorf("--sql: reading row %d: %w", q.line, err)
	}
	fields := make([]string, len(q.values))
	for i, value := range q.values {
		fields[i] = value.String
	}
	return fields, q.line, nil
}

func (q *sqlRows) read() int64 { return 0 }

// close rolls back; there is nothing to commit.
func (q *sqlRows) close() {
	if q.rows != nil {
		_ = q.rows.Close()
	}
	if q.tx != nil {
		_ = q.tx.Rollback()
	}
	if q.db != nil {
		_ = q.db.Close()
	}
}
