package persistence

import (
	"context"
	"fmt"
	"strings"

	"switchboard/store"
)

// The keys under which workers note the transports they record. Those who send check names
// against them.
const (
	recordedFrom = "persistence/records/"
	recordedTo   = "persistence/records0" // "0" follows "/"
)

const maxRecorded = 10_000

// NoteRecorded notes that transports are recorded in a database.
func NoteRecorded(ctx context.Context, db store.State, transports ...string) error {
	entries := make([]store.Entry, len(transports))
	for i, name := range transports {
		entries[i].Key = recordedFrom + name
	}
	if err := db.Set(ctx, entries...); err != nil {
		return fmt.Errorf("noting which transports are recorded: %w", err)
	}
	return nil
}

// Recorded are the names of the transports that are recorded in a database, sorted.
func Recorded(ctx context.Context, db store.State) ([]string, error) {
	entries, err := db.Range(ctx, recordedFrom, recordedTo, maxRecorded)
	if err != nil {
		return nil, fmt.Errorf("reading which transports are recorded: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimPrefix(e.Key, recordedFrom)
	}
	return names, nil
}
