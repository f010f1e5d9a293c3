package persistence

import (
	"context"
	"fmt"
	"strings"

	"switchboard/store"
)

// Where workers note which transports they record: after that, a name that
// nobody has noted is taken for a slip by those who send.
const (
	recordedFrom = "persistence/records/"
	recordedTo   = "persistence/records0" // "0" follows "/"
)

// maxRecorded bounds how many transports are told.
const maxRecorded = 10_000

// NoteRecorded notes in a database that transports are recorded in it.
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

// Recorded are the transports that a worker has recorded in a database, by
// their names' order.
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
