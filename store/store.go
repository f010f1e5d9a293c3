// Package store keeps the record of messages, and the state that workers share.
// Package storetest tests every implementation.
//
// State is a small key-value store with TTLs, on PostgreSQL, on SQLite or in memory. Put a
// Batcher in front of one that is used for every message.
//
// The record has five interfaces, which PostgreSQL and SQLite implement: a Recorder stores
// Envelopes in batches, a Finder looks things up, People has the contacts and their
// opt-outs, Broadcasts stores one text to many and leases its batches to workers, and
// Retention deletes what is old.
//
//	db, err := postgres.Open(ctx, postgres.Settings{URL: url}) // or sqlite.Open
//	err = db.Migrate(ctx)                                      // or db.Check
//	rejected, err := db.Record(ctx, batch)
//
// When Record fails, record the whole batch again, also after a restart and in batches of
// other sizes. What it rejects it will always reject: dead-letter it with the reason.
//
// A transmission's Status follows from the greatest Progress known of it (Stages is the
// table, docs/states.md draws it), a message's from its transmissions (Counts.Status).
//
// Broadcasts.Create commits everything first. Each worker then polls Due and publishes a
// task for each batch. The task's handler calls Claim, publishes Handover.Message of each,
// and calls Finish with those that the broker confirmed. The published messages and their
// events must be recorded like all others: acks, retries and the take-over of a dead
// worker's batch depend on it.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Entry is one key and its value. A TTL of zero is for ever.
type Entry struct {
	Key   string
	Value string
	TTL   time.Duration
}

// State is a small key-value store that all replicas of a worker share: sessions, who sent
// which message, what was submitted. Users prefix their keys
// (`events/<dispatcher>/<message id>`). An entry past its TTL is not found any more, and is
// deleted in the background.
//
// Every method is safe from several goroutines, is atomic for one key, and fails only when
// the store is out of reach (trying again may help).
type State interface {
	// Get returns the values of the keys that exist.
	Get(ctx context.Context, keys ...string) (map[string]string, error)
	// Set stores entries, all or none; of a key given twice the last counts.
	Set(ctx context.Context, entries ...Entry) error
	// Add stores an entry unless its key exists. It returns the value that is stored
	// afterwards, and whether it is the new one.
	Add(ctx context.Context, e Entry) (value string, added bool, err error)
	// Increment adds by to a number (a missing one is 0) and returns the sum. The TTL
	// counts from the first increment.
	Increment(ctx context.Context, key string, by int64, ttl time.Duration) (int64, error)
	// Delete deletes keys; missing ones are no error.
	Delete(ctx context.Context, keys ...string) error
	// Range returns the first entries, at most limit, with from <= key < to, in the order
	// of the keys' bytes, without their TTL. Keys longer than 512 bytes are returned in
	// their stored, shorter form.
	Range(ctx context.Context, from, to string, limit int) ([]Entry, error)
}

// Database is all that PostgreSQL and SQLite offer: the state and the record.
type Database interface {
	State
	Recorder
	Retention
	Finder
	People
	Broadcasts
	// Check fails with ErrSchemaOlder or ErrSchemaNewer when the schema is not the one the
	// program wants.
	Check(ctx context.Context) error
	// Migrate brings the schema to the version the program wants.
	Migrate(ctx context.Context) error
	// Version is the schema's version, and the one the program wants.
	Version(ctx context.Context) (current, latest int64, err error)
	Close() error
}

// Errors about a database's schema, for errors.Is.
var (
	// ErrSchemaNewer is a database that a newer program has migrated.
	ErrSchemaNewer = errors.New("the database's schema is newer than this program: run the newer switchboard")
	// ErrSchemaOlder is a database that is not migrated to what the program wants.
	ErrSchemaOlder = errors.New("the database's schema is older than this program: run switchboard migrate")
)

// Printable escapes what not every database stores: NUL becomes \u0000, and each byte that
// is not UTF-8 becomes \xNN.
func Printable(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == 0:
			b.WriteString(`\u0000`)
		default:
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String()
}
