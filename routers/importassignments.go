package routers

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"

	"switchboard/message"
	"switchboard/store"
)

// importBatch is how many users go into the state store in one round trip.
const importBatch = 500

// importAssignments remembers the users of the file that are not remembered yet.
func (r *UserGrouping) importAssignments(ctx context.Context) error {
	if r.Assignments == "" {
		return nil
	}
	file, err := os.Open(r.Assignments)
	if err != nil {
		return message.Permanent(fmt.Errorf("assignments: %w", err))
	}
	defer func() { _ = file.Close() }()
	lines := csv.NewReader(file)
	lines.FieldsPerRecord = 2
	batch := make([]store.Entry, 0, importBatch)
	for {
		line, err := lines.Read()
		if err != nil && !errors.Is(err, io.EOF) {
			return message.Permanent(fmt.Errorf("assignments: %s: %w; write user,group on each line", r.Assignments, err))
		}
		if len(batch) == importBatch || err != nil {
			if failed := r.rememberNew(ctx, batch); failed != nil {
				return fmt.Errorf("importing assignments of %s: %w", r.Assignments, failed)
			}
			batch = batch[:0]
		}
		if err != nil {
			return nil
		}
		user, group := line[0], line[1]
		if _, there := r.apps[group]; !there {
			at, _ := lines.FieldPos(1)
			return message.Permanent(fmt.Errorf("assignments: %s:%d: group %q is none of group_mappings", r.Assignments, at, group))
		}
		batch = append(batch, store.Entry{Key: userKey(user), Value: group})
	}
}

// rememberNew sets those of the entries that have no value yet.
func (r *UserGrouping) rememberNew(ctx context.Context, entries []store.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	found, err := r.state.Get(ctx, keys...)
	if err != nil {
		return err
	}
	var fresh []store.Entry
	for _, e := range entries {
		if _, there := found[e.Key]; !there {
			fresh = append(fresh, e)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return r.state.Set(ctx, fresh...)
}
