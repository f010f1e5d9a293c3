// Package history keeps what operators did with messages: who, when, why and how many.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/operate/queues"
	"switchboard/store"
)

// Action is one command that moved or deleted messages.
type Action struct {
	At      time.Time      `json:"at"`
	Who     string         `json:"who"`
	Why     string         `json:"why,omitempty"`
	Command string         `json:"command"`
	Counts  []queues.Count `json:"counts"`
}

// Queues names the queues it was about.
func (a Action) Queues() string {
	names := make([]string, len(a.Counts))
	for i, c := range a.Counts {
		names[i] = c.Queue
	}
	return strings.Join(names, " ")
}

// Actions are in the state store, in the order of time; "0" follows "/".
const (
	first = "operator/"
	after = "operator0"
	// kept is how long an action is kept.
	kept = 366 * 24 * time.Hour
	// most is how many actions are read.
	most = 10_000
	// stamp has a fixed width, so that keys are in the order of time.
	stamp = "2006-01-02T15:04:05.000000000Z"
)

// Note keeps an action.
func Note(ctx context.Context, state store.State, a Action) error {
	text, err := json.Marshal(a)
	if err == nil {
		key := first + a.At.UTC().Format(stamp) + " " + message.NewID()
		err = state.Set(ctx, store.Entry{Key: key, Value: string(text), TTL: kept})
	}
	if err != nil {
		return fmt.Errorf("noting who did this: %w", err)
	}
	return nil
}

// Read returns the actions that are kept, the oldest first.
func Read(ctx context.Context, state store.State) (all []Action, err error) {
	all = []Action{}
	entries, err := state.Range(ctx, first, after, most)
	if err != nil {
		return all, fmt.Errorf("reading who did what: %w", err)
	}
	for _, e := range entries {
		var a Action
		if bad := json.Unmarshal([]byte(e.Value), &a); bad != nil {
			err = errors.Join(err, fmt.Errorf("reading %s: %w", e.Key, bad))
			continue
		}
		all = append(all, a)
	}
	return all, err
}
