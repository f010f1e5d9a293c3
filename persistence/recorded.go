package persistence

import (
	"context"
	"fmt"
	"strings"

	"switchboard/store"
)

// Recorded are the names that persistence workers record. Who asks the record, or sends,
// checks names against them.
type Recorded struct {
	Transports   []string
	Applications []string // exposed names
}

// The keys under which workers note what they record; "0" follows "/".
const (
	recordedTransports   = "persistence/records"
	recordedApplications = "persistence/applications"
)

const maxRecorded = 10_000

// Note notes in a database what is recorded in it.
func (r Recorded) Note(ctx context.Context, db store.State) error {
	var entries []store.Entry
	for prefix, names := range map[string][]string{recordedTransports: r.Transports, recordedApplications: r.Applications} {
		for _, name := range names {
			entries = append(entries, store.Entry{Key: prefix + "/" + name})
		}
	}
	if err := db.Set(ctx, entries...); err != nil {
		return fmt.Errorf("noting what is recorded: %w", err)
	}
	return nil
}

// ReadRecorded reads what is recorded in a database, sorted.
func ReadRecorded(ctx context.Context, db store.State) (r Recorded, err error) {
	for prefix, names := range map[string]*[]string{recordedTransports: &r.Transports, recordedApplications: &r.Applications} {
		entries, err := db.Range(ctx, prefix+"/", prefix+"0", maxRecorded)
		if err != nil {
			return r, fmt.Errorf("reading what is recorded: %w", err)
		}
		for _, e := range entries {
			*names = append(*names, strings.TrimPrefix(e.Key, prefix+"/"))
		}
	}
	return r, nil
}
