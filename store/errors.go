package store

import "errors"

// What is wrong with a database's schema; errors.Is finds them.
var (
	// ErrSchemaNewer is a database that a newer program has migrated.
	ErrSchemaNewer = errors.New("the database's schema is newer than this program: run the newer switchboard")
	// ErrSchemaOlder is a database that is not migrated to what the program wants.
	ErrSchemaOlder = errors.New("the database's schema is older than this program: run switchboard migrate")
)
