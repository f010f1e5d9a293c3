package store

import "context"

// Database is all that PostgreSQL and SQLite offer: the shared memory and the
// record.
type Database interface {
	State
	Recorder
	Janitor
	Finder
	People
	Broadcasts
	// Check fails with ErrSchemaOlder or ErrSchemaNewer when the schema is not
	// the one the program wants.
	Check(ctx context.Context) error
	// Migrate brings the schema to the version the program wants.
	Migrate(ctx context.Context) error
	// Version is the schema's version, and the one the program wants.
	Version(ctx context.Context) (current, latest int64, err error)
	Close() error
}
