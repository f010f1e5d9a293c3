package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchboard/operate"
	"switchboard/store"
)

// Book is what schedulers keep in their database: what is scheduled, and what is paused.
type Book struct{ DB store.State }

// Entry is a schedule as `switchboard schedules list` shows it.
type Entry struct {
	ID        string    `json:"id"` // worker/schedule
	When      string    `json:"when"`
	Timezone  string    `json:"timezone"`
	Text      string    `json:"text"`
	Next      time.Time `json:"next,omitzero"`
	Settled   time.Time `json:"looked"` // when a scheduler last looked
	Paused    bool      `json:"paused"`
	Last      time.Time `json:"last,omitzero"`
	Broadcast int64     `json:"broadcast,omitempty"` // that of last
}

// last is what was sent last. Only who sent it writes it: replicas write the entry.
type last struct {
	At        time.Time `json:"at"`
	Broadcast int64     `json:"broadcast"`
}

const (
	prefix = "schedule/"
	paused = "schedule_paused/"
	lasts  = "schedule_last/"
	// keep is how long a schedule is listed that no scheduler has any more; keepLast how
	// long it is known what one sent last.
	keep     = 7 * 24 * time.Hour
	keepLast = 400 * 24 * time.Hour
	// maxListed bounds how many are listed.
	maxListed = 10_000
	// readAtOnce is how many are read by one request to the store.
	readAtOnce = 500
)

func (b Book) read(ctx context.Context, ids ...string) ([]Entry, error) {
	keys := make([]string, 0, 3*len(ids))
	for _, id := range ids {
		keys = append(keys, prefix+id, paused+id, lasts+id)
	}
	rows, err := b.DB.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("reading schedules: %w", err)
	}
	all := make([]Entry, 0, len(ids))
	for _, id := range ids {
		var e Entry
		var l last
		for key, into := range map[string]any{prefix + id: &e, lasts + id: &l} {
			if text, is := rows[key]; is {
				if err := json.Unmarshal([]byte(text), into); err != nil {
					return nil, fmt.Errorf("reading the schedule %s: %w", id, err)
				}
			}
		}
		_, e.Paused = rows[paused+id]
		e.ID, e.Last, e.Broadcast = id, l.At, l.Broadcast
		all = append(all, e)
	}
	return all, nil
}

func (b Book) write(ctx context.Context, e Entry) error { return b.set(ctx, prefix+e.ID, e, keep) }

func (b Book) writeLast(ctx context.Context, id string, l last) error {
	return b.set(ctx, lasts+id, l, keepLast)
}

func (b Book) set(ctx context.Context, key string, value any, ttl time.Duration) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = b.DB.Set(ctx, store.Entry{Key: key, Value: string(text), TTL: ttl})
	}
	if err != nil {
		return fmt.Errorf("storing %s: %w", key, err)
	}
	return nil
}

// List lists all schedules, by their ids.
func (b Book) List(ctx context.Context) (all []Entry, err error) {
	rows, err := b.DB.Range(ctx, prefix, prefix[:len(prefix)-1]+"0", maxListed) // 0 comes after /
	if err != nil {
		return nil, fmt.Errorf("reading schedules: %w", err)
	}
	for page := range slices.Chunk(rows, readAtOnce) {
		ids := make([]string, len(page))
		for i, row := range page {
			ids[i] = strings.TrimPrefix(row.Key, prefix)
		}
		some, err := b.read(ctx, ids...)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Pause keeps a schedule from sending; what it would have sent is not made up for.
func (b Book) Pause(ctx context.Context, id string) error {
	if err := b.find(ctx, id); err != nil {
		return err
	}
	return b.DB.Set(ctx, store.Entry{Key: paused + id, Value: "1"})
}

// Resume lets a paused schedule go on.
func (b Book) Resume(ctx context.Context, id string) error {
	if err := b.find(ctx, id); err != nil {
		return err
	}
	return b.DB.Delete(ctx, paused+id)
}

func (b Book) find(ctx context.Context, id string) error {
	rows, err := b.DB.Get(ctx, prefix+id)
	if err == nil && len(rows) == 0 {
		err = operate.Misused(fmt.Errorf("no scheduler has a schedule %q; `switchboard schedules list` shows them", id))
	}
	return err
}
