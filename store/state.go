// Package store is what persistence records and what routers, transports and
// sessions remember. Package storetest holds every implementation to it.
package store

import (
	"context"
	"time"
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
}
