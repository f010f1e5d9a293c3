// Package deadletters looks after what workers could not handle: every queue's
// bodies that were set aside with a reason can be listed, tried again and
// dropped. Nothing is lost when whoever does that is killed in between.
package deadletter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/worker"
)

// DeadLetter is a body that was set aside.
type DeadLetter struct {
	// ID is 12 hex digits made of the letter itself: it names the letter as
	// long as it lies there, also where the body has no identifier.
	ID string `json:"id"`
	// Queue is the queue it came from and would go back to.
	Queue       string         `json:"queue"`
	Reason      string         `json:"reason"` // one of worker's Reason constants
	Error       string         `json:"error"`
	Attempts    int            `json:"attempts"`
	FirstFailed time.Time      `json:"first_failed,omitzero"`
	LastFailed  time.Time      `json:"last_failed,omitzero"`
	Worker      string         `json:"worker"`
	MessageID   string         `json:"message_id"` // empty where the body has none
	Body        []byte         `json:"-"`
	Headers     broker.Headers `json:"-"`
}

// Box is what the package needs of a broker.
type Box interface {
	broker.Publisher
	broker.Admin
}

// QueueOf is the queue whose dead letters lie in name, which may be given with
// or without the suffix.
func QueueOf(name string) string { return strings.TrimSuffix(name, broker.DeadSuffix) }

func read(d *broker.Delivery) DeadLetter {
	h := d.Headers
	attempts, _ := strconv.Atoi(h[worker.HeaderAttempts])
	return DeadLetter{
		ID: identify(d), Queue: QueueOf(d.Queue), Reason: h[worker.HeaderReason], Error: h[worker.HeaderError],
		Attempts: attempts, FirstFailed: parseTime(h[worker.HeaderFirstFailed]), LastFailed: parseTime(h[worker.HeaderLastFailed]),
		Worker: h[worker.HeaderWorker], MessageID: messageID(d.Body), Body: d.Body, Headers: h,
	}
}

func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339, text) // foreign or missing: the zero time
	return t
}

func identify(d *broker.Delivery) string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%d:%s", len(d.Body), d.Body)
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		_, _ = fmt.Fprintf(sum, "%d:%s=%d:%s", len(name), name, len(d.Headers[name]), d.Headers[name])
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// messageID looks into bodies that may be anything.
func messageID(body []byte) string {
	var ids struct {
		Message any `json:"message_id"`
		About   any `json:"user_message_id"`
	}
	if json.Unmarshal(body, &ids) != nil {
		return ""
	}
	for _, id := range []any{ids.Message, ids.About} {
		if text, ok := id.(string); ok && text != "" {
			return text
		}
	}
	return ""
}

// Filter chooses letters; its zero value chooses all.
type Filter struct {
	IDs    []string // letters' IDs or message IDs
	Reason string
	Error  string // a part of the error's text
}

// Matches says whether the filter chooses the letter.
func (f Filter) Matches(l DeadLetter) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID) || l.MessageID != "" && slices.Contains(f.IDs, l.MessageID)) &&
		(f.Reason == "" || f.Reason == l.Reason) && strings.Contains(l.Error, f.Error)
}

// List fetches the letters of one queue that f chooses, of the first limit; all
// is the number that lie there. While it runs nobody else sees them.
func List(ctx context.Context, b broker.Admin, queue string, limit int, f Filter) (letters []DeadLetter, all int, err error) {
	all, err = count(ctx, b, queue)
	if err != nil || all == 0 {
		return nil, 0, err
	}
	err = browse(ctx, b, queue, min(limit, all), func(l DeadLetter) (broker.Verdict, error) {
		if f.Matches(l) {
			letters = append(letters, l)
		}
		return broker.Keep, nil
	})
	slices.SortStableFunc(letters, func(a, b DeadLetter) int { return cmp.Compare(a.LastFailed.Unix(), b.LastFailed.Unix()) })
	return letters, all, err
}

// Retry puts the letters of one queue that f chooses back on that queue, as if
// they had never been tried, and says how many. Each is confirmed there before
// it is taken away here: a crash between the two repeats a letter and loses
// none. An error leaves the rest where it is.
func Retry(ctx context.Context, b Box, queue string, f Filter) (n int, err error) {
	return remove(ctx, b, queue, f, func(l DeadLetter) error {
		err := b.Publish(ctx, broker.Publication{Queue: l.Queue, Body: l.Body, Headers: fresh(l.Headers)})
		if errors.Is(err, broker.ErrUnroutable) {
			return fmt.Errorf("queue %s is not there: start the worker that consumes it, then try again: %w", l.Queue, err)
		}
		return err
	})
}

// Drop deletes the letters of one queue that f chooses and says how many.
func Drop(ctx context.Context, b broker.Admin, queue string, f Filter) (n int, err error) {
	return remove(ctx, b, queue, f, func(DeadLetter) error { return nil })
}

// remove takes away what f chooses once before has succeeded. It looks at no
// more letters than lay there when it began, since those that fail again come
// back behind them.
func remove(ctx context.Context, b broker.Admin, queue string, f Filter, before func(DeadLetter) error) (n int, err error) {
	all, err := count(ctx, b, queue)
	if err != nil || all == 0 {
		return 0, err
	}
	err = browse(ctx, b, queue, all, func(l DeadLetter) (broker.Verdict, error) {
		if !f.Matches(l) {
			return broker.Keep, nil
		}
		if err := before(l); err != nil {
			return broker.Keep, fmt.Errorf("letter %s: %w", l.ID, err)
		}
		n++
		return broker.Remove, nil
	})
	return n, err
}

// count is how many letters a queue has; none when it never had any.
func count(ctx context.Context, b broker.Admin, queue string) (int, error) {
	info, err := b.Inspect(ctx, QueueOf(queue)+broker.DeadSuffix)
	if errors.Is(err, broker.ErrNoQueue) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("counting the dead letters of %s: %w", queue, err)
	}
	return info.Messages, nil
}

func browse(ctx context.Context, b broker.Admin, queue string, limit int, visit func(DeadLetter) (broker.Verdict, error)) error {
	err := b.Browse(ctx, QueueOf(queue)+broker.DeadSuffix, limit, func(d *broker.Delivery) (broker.Verdict, error) {
		return visit(read(d))
	})
	if err != nil {
		return fmt.Errorf("reading the dead letters of %s: %w", queue, err)
	}
	return nil
}

// fresh are a letter's headers without those that speak of its failures. The
// key it first came with stays.
func fresh(h broker.Headers) broker.Headers {
	h = maps.Clone(h)
	for _, name := range [...]string{
		worker.HeaderReason, worker.HeaderError, worker.HeaderAttempts,
		worker.HeaderFirstFailed, worker.HeaderLastFailed, worker.HeaderWorker,
	} {
		delete(h, name)
	}
	return h
}
