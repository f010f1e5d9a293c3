package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"switchboard/store"
)

// Latest is the newest schema version among migrations.
func Latest(migrations fs.FS) (int64, error) {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, err
	}
	var latest int64
	for _, file := range files {
		n, err := goose.NumericComponent(file)
		if err != nil {
			return 0, fmt.Errorf("reading migration's number: %w", err)
		}
		latest = max(latest, n)
	}
	return latest, nil
}

// Current is the version a database has; exists is a query that says whether
// it has the table of versions at all.
func Current(ctx context.Context, db *sql.DB, exists string) (int64, error) {
	var there bool
	if err := db.QueryRowContext(ctx, exists).Scan(&there); err != nil {
		return 0, fmt.Errorf("reading schema version: %w", err)
	}
	if !there {
		return 0, nil
	}
	var version sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("reading schema version: %w", err)
	}
	return version.Int64, nil
}

// CheckVersion compares a database's schema with the program's.
func CheckVersion(current, latest int64) error {
	switch {
	case current > latest:
		return fmt.Errorf("%w: it has version %d, this program knows %d", store.ErrSchemaNewer, current, latest)
	case current < latest:
		return fmt.Errorf("%w: it has version %d, this program wants %d", store.ErrSchemaOlder, current, latest)
	}
	return nil
}

// Up brings a database to the latest version.
func Up(ctx context.Context, p *goose.Provider) error {
	_, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) && partial.Failed != nil {
		return fmt.Errorf("migrating to version %d: %w", partial.Failed.Source.Version, partial.Err)
	}
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}
