// Package failed finds messages that the record has as failed, and sends them again. Being
// killed in between loses none and sends none twice.
package failed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/persistence"
	"switchboard/store"
)

// Filter chooses failed messages; its zero value chooses all.
type Filter struct {
	store.Filter          // transport, application, text, and when they were created
	IDs          []string // their own
	Queues       []string // that they go out or came in by
	Reasons      []string // each is a part of the recorded reason
}

func (f *Filter) chooses(r *store.Record) bool {
	flow := message.Outbound
	if r.Direction == store.Inbound {
		flow = message.Inbound
	}
	reason := strings.ToLower(r.Reason)
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, r.ID)) &&
		(len(f.Queues) == 0 || slices.Contains(f.Queues, message.Key(r.Backend, flow))) &&
		!slices.ContainsFunc(f.Reasons, func(part string) bool { return !strings.Contains(reason, strings.ToLower(part)) })
}

// Most is how many failed messages are held at once.
const Most = 100_000

// Find returns the failed messages that f chooses, the oldest first.
func Find(ctx context.Context, db store.Finder, f Filter) (found []store.Record, err error) {
	f.Status = store.StatusError
	for r, err := range db.Messages(ctx, f.Filter) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("looking for failed messages: %w", err)
		case !f.chooses(&r):
		case len(found) == Most:
			return nil, operate.Misused(fmt.Errorf("more than %d messages failed: choose fewer, with --since, --until or --transport", Most))
		default:
			found = append(found, r)
		}
	}
	slices.Reverse(found)
	return found, nil
}

// Again is how failed messages are sent again.
type Again struct {
	To       string // the transport that sends them; their own when empty
	Who, Why string
	// Before, where set, is called before each and may wait; its error ends the retry.
	Before func(context.Context) error
}

// claim is what is remembered of a retry, before it and after it.
type claim struct {
	At   time.Time `json:"at"`
	Who  string    `json:"who"`
	Why  string    `json:"why,omitempty"`
	Key  string    `json:"key"`
	Sent bool      `json:"sent"` // the broker has it
}

// claimed is how long that is remembered: a message that failed longer ago is no retry's.
const claimed = 366 * 24 * time.Hour

func claimKey(r *store.Record) string { return fmt.Sprintf("resent/%s/%d", r.ID, r.Attempts+1) }

// Outcome is what became of one message.
type Outcome struct {
	ID      string `json:"id"`
	Key     string `json:"key,omitempty"`     // where it was published
	Attempt int    `json:"attempt,omitempty"` // as which attempt
	Error   string `json:"error,omitempty"`   // why it was not
}

// Unfit says why a message is not sent again; empty where it can be.
func Unfit(ctx context.Context, state store.State, r *store.Record) (why string, err error) {
	if err := persistence.Resendable(r); err != nil {
		return err.Error(), nil
	}
	c, err := look(ctx, state, r)
	if err == nil && c.Sent {
		why = "it was sent again, and what became of it is not recorded yet"
	}
	return why, err
}

func look(ctx context.Context, state store.State, r *store.Record) (c claim, err error) {
	found, err := state.Get(ctx, claimKey(r))
	if text, is := found[claimKey(r)]; is && err == nil {
		err = json.Unmarshal([]byte(text), &c)
	}
	if err != nil {
		err = fmt.Errorf("asking whether %s was sent again: %w", r.ID, err)
	}
	return c, err
}

// Retry sends messages again, in their order, and calls done with the outcome of each. That
// a message is about to be sent is remembered before, and that the broker has it after: run
// again after a crash it passes over what was sent, and marks the one that it cannot know
// of as a second copy, which a transport sends once.
func (a Again) Retry(ctx context.Context, db store.Database, p broker.Publisher, all []store.Record, done func(Outcome)) error {
	for i := range all {
		if a.Before != nil {
			if err := a.Before(ctx); err != nil {
				return err
			}
		}
		r := &all[i]
		key, attempt, err := a.one(ctx, db, p, r)
		o := Outcome{ID: r.ID, Key: key, Attempt: attempt}
		if err != nil {
			o = Outcome{ID: r.ID, Error: err.Error()}
		}
		done(o)
		if ctx.Err() != nil || errors.Is(err, broker.ErrClosed) {
			return err
		}
	}
	return nil
}

func (a Again) one(ctx context.Context, db store.Database, p broker.Publisher, r *store.Record) (key string, attempt int, err error) {
	why, err := Unfit(ctx, db, r)
	if err == nil && why != "" {
		err = errors.New(why)
	}
	if err != nil {
		return "", 0, err
	}
	c := claim{At: time.Now().UTC(), Who: a.Who, Why: a.Why, Key: message.Key(cmp.Or(a.To, r.Backend), message.Outbound)}
	text, first, err := db.Add(ctx, c.entry(r))
	if err != nil {
		return "", 0, fmt.Errorf("noting that it is sent again: %w", err)
	}
	if !first {
		if err := c.follows(text, r); err != nil {
			return "", 0, err
		}
	}
	c.Key, attempt, err = persistence.ResendTo(ctx, db, p, r.ID, persistence.Resending{Transport: a.To, Again: !first})
	if err != nil {
		if first && (errors.Is(err, broker.ErrUnroutable) || errors.Is(err, broker.ErrInvalid)) { // it is on no queue
			err = errors.Join(err, db.Delete(ctx, claimKey(r)))
		}
		return "", 0, err
	}
	c.Sent = true
	if err := db.Set(ctx, c.entry(r)); err != nil {
		return "", 0, fmt.Errorf("it is on %s as attempt %d, which could not be noted: %w", c.Key, attempt, err)
	}
	return c.Key, attempt, nil
}

// follows is an error where an older claim may have put the message on another queue: two
// transports would send it.
func (c claim) follows(text string, r *store.Record) error {
	var older claim
	if err := json.Unmarshal([]byte(text), &older); err != nil {
		return fmt.Errorf("reading where it was sent again: %w", err)
	}
	if key := cmp.Or(older.Key, message.Key(r.Backend, message.Outbound)); key != c.Key {
		return fmt.Errorf("it may already be on %s: retry it there", key)
	}
	return nil
}

func (c claim) entry(r *store.Record) store.Entry {
	text, _ := json.Marshal(c) // of strings and a time
	return store.Entry{Key: claimKey(r), Value: string(text), TTL: claimed}
}
