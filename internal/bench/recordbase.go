package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// ledger is a migrated schema of one measurement's own.
type ledger struct {
	conn   *pgx.Conn
	schema string
	url    string // of the schema
}

func newLedger(ctx context.Context, s settings, schema string) (*ledger, error) {
	u, err := url.Parse(s.databaseURL)
	if err != nil {
		return nil, fmt.Errorf("reading DATABASE_URL: %w", err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	l := &ledger{schema: schema, url: u.String()}
	if l.conn, err = pgx.Connect(ctx, l.url); err != nil {
		return nil, err
	}
	for _, statement := range []string{"DROP SCHEMA IF EXISTS " + schema + " CASCADE", "CREATE SCHEMA " + schema} {
		if _, err := l.conn.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	migrate, err := startChild(ctx, l.url, s.binary, "migrate")
	if err == nil {
		_, err = migrate.finish()
	}
	if err != nil {
		return nil, fmt.Errorf("migrating: %w", err)
	}
	return l, nil
}

// drop forgets the schema, also after ctx has ended.
func (l *ledger) drop() {
	ctx := context.Background()
	_, _ = l.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+l.schema+" CASCADE")
	_ = l.conn.Close(ctx)
}

func (l *ledger) count(ctx context.Context, condition string) (n int, err error) {
	err = l.conn.QueryRow(ctx, "SELECT count(*) FROM transmission WHERE "+condition).Scan(&n)
	return n, err
}

const recorderYAML = `worker_class: persistence
worker_name: bench
transport_names: [bench_rec]
exposed_names: [bench_app]
`

// startRecorder runs the persistence worker on the ledger.
func startRecorder(ctx context.Context, s settings, l *ledger) (*child, error) {
	file := filepath.Join(s.dir, "bench_recorder.yaml")
	if err := os.WriteFile(file, []byte(recorderYAML), 0o600); err != nil {
		return nil, err
	}
	return startChild(ctx, l.url, s.binary, "run", "--http", "127.0.0.1:0", "--log-level", "warn", file)
}
