// Package store is what persistence records and what routers, transports and
// sessions remember. Package storetest holds every implementation to it.
//
// Memory. State is a small shared memory with TTLs, on PostgreSQL, SQLite and
// in the process alone; put a Batcher before one that is asked for every
// message.
//
// The record. Whoever sees what passes gives it to a Recorder as Envelopes, in
// batches; a Finder looks things up; People knows contacts and who has opted
// out; Broadcasts stores one text to many and deals out its batches; a Retention
// forgets what is old. PostgreSQL and SQLite implement all of them:
//
//	db, err := postgres.Open(ctx, postgres.Settings{URL: url}) // or sqlite.Open
//	err = db.Migrate(ctx)                                      // or db.Check
//	rejected, err := db.Record(ctx, batch)
//
// When Record fails, nothing is known of the batch: give all of it again, also
// after a restart, also in other batches. What it rejects it will always
// reject: set those aside with their reasons.
//
// States. A transmission's state is the letter of the greatest Progress known of
// it (Stages is the table; docs/states.md draws it), a message's follows from
// its transmissions (Counts.Status).
//
// Broadcasts. Create commits everything first. A relay in each worker then
// asks Due every second or so and publishes a task for each batch; the task's
// handler calls Claim, publishes Handover.Message of each, and calls Finish
// with those that were confirmed. The recorder must see the published
// messages and their events like all others: that is how acks count, how
// failed ones come to be retried, and how a worker that takes over knows what
// the one before it had published.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Entry is one remembered value. TTL says how long; zero is for ever.
type Entry struct {
	Key   string
	Value string
	TTL   time.Duration
}

// State is a small memory that all replicas of a worker share: sessions, who
// sent which message, what was already submitted. Keys are namespaced by their
// users (`events/<dispatcher>/<message id>`). An entry past its TTL is as good
// as gone at once, and deleted in the background.
//
// Every method is safe for use from several goroutines, is atomic for one key,
// and fails only when the store is out of reach (trying again may help).
type State interface {
	// Get fetches the values of those keys that are there.
	Get(ctx context.Context, keys ...string) (map[string]string, error)
	// Set stores entries, all or none; of a key given twice the last counts.
	Set(ctx context.Context, entries ...Entry) error
	// Add stores an entry unless its key is there; it returns what is there
	// afterwards, and whether it is new.
	Add(ctx context.Context, e Entry) (value string, added bool, err error)
	// Increment adds by to a number (a missing one is 0) and returns the sum.
	// TTL counts from the first increment.
	Increment(ctx context.Context, key string, by int64, ttl time.Duration) (int64, error)
	// Delete forgets keys; those that are not there are no error.
	Delete(ctx context.Context, keys ...string) error
	// Range fetches the first entries, at most limit, whose keys are not below
	// from and below to, in the order of the keys' bytes; their TTL is not told.
	// Keys longer than 512 bytes come as they are stored, which is shorter.
	Range(ctx context.Context, from, to string, limit int) ([]Entry, error)
}

// Database is all that PostgreSQL and SQLite offer: the shared memory and the
// record.
type Database interface {
	State
	Recorder
	Retention
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

// What is wrong with a database's schema; errors.Is finds them.
var (
	// ErrSchemaNewer is a database that a newer program has migrated.
	ErrSchemaNewer = errors.New("the database's schema is newer than this program: run the newer switchboard")
	// ErrSchemaOlder is a database that is not migrated to what the program wants.
	ErrSchemaOlder = errors.New("the database's schema is older than this program: run switchboard migrate")
)

// Printable makes text that every database keeps: NUL becomes \u0000, and each
// byte that is not UTF-8 becomes \xNN. All other text stays as it is.
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
