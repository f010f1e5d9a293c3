// Package deadletter lists, retries and drops dead letters: bodies that workers could
// not handle. Being killed in between loses nothing.
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
	"switchboard/internal/backoff"
	"switchboard/worker"
)

// DeadLetter is a dead-lettered body.
type DeadLetter struct {
	// ID is 12 hex digits made of body and headers; equal dead letters after the
	// first have a number behind it, as in 0123456789ab-2.
	ID string `json:"id"`
	// Queue is the queue that it came from and that Retry returns it to.
	Queue       string         `json:"queue"`
	Reason      string         `json:"reason"` // one of worker's Reason constants
	Error       string         `json:"error"`
	Attempts    int            `json:"attempts"`
	FirstFailed time.Time      `json:"first_failed,omitzero"`
	LastFailed  time.Time      `json:"last_failed,omitzero"`
	Worker      string         `json:"worker"`
	MessageID   string         `json:"message_id"` // empty where the body has none
	Transport   string         `json:"transport_name,omitempty"`
	Body        []byte         `json:"-"`
	Headers     broker.Headers `json:"-"`
}

// PartialError says that not all dead letters of a queue could be seen: another
// command, which runs or was killed just now, holds the others.
type PartialError struct {
	Queue     string
	Seen, All int
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("saw %d of the %d dead letters of %s: another command holds the others; try again when it has ended", e.Seen, e.All, e.Queue)
}

// QueueOf returns the queue that the dead letters of name came from; name may have
// broker.DeadSuffix.
func QueueOf(name string) string { return strings.TrimSuffix(name, broker.DeadSuffix) }

// Name is the queue that holds the dead letters of a queue.
func Name(queue string) string { return queue + broker.DeadSuffix }

func read(d *broker.Delivery) DeadLetter {
	h := d.Headers
	attempts, _ := strconv.Atoi(h[worker.HeaderAttempts])
	about := parse(d.Body)
	return DeadLetter{
		ID: identify(d), Queue: QueueOf(d.Queue), Reason: h[worker.HeaderReason], Error: h[worker.HeaderError],
		Attempts: attempts, FirstFailed: parseTime(h[worker.HeaderFirstFailed]), LastFailed: parseTime(h[worker.HeaderLastFailed]),
		Worker: h[worker.HeaderWorker], MessageID: about.id(), Transport: about.text(about.Transport), Body: d.Body, Headers: h,
	}
}

func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339, text) // the zero time when it is foreign or missing
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

// about is what is read of a body that may be anything.
type about struct {
	Message   any `json:"message_id"`
	Event     any `json:"user_message_id"`
	Transport any `json:"transport_name"`
	Content   any `json:"content"`
}

func parse(body []byte) (a about) {
	if json.Unmarshal(body, &a) != nil {
		return about{}
	}
	return a
}

func (about) text(value any) string {
	text, _ := value.(string)
	return text
}

func (a about) id() string { return cmp.Or(a.text(a.Message), a.text(a.Event)) }

// Filter chooses dead letters; its zero value chooses all.
type Filter struct {
	IDs       []string // their own or their messages'
	Reason    string
	Error     string    // a part of the error's text
	Transport string    // the message's transport_name
	Text      string    // a part of what was written
	Since     time.Time // failed last then or later
	Until     time.Time // failed last before
}

// Excludes says by what the filter leaves l out; empty where it chooses l.
func (f Filter) Excludes(l DeadLetter) string {
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, l.ID) && (l.MessageID == "" || !slices.Contains(f.IDs, l.MessageID)):
		return "identifier"
	case f.Reason != "" && f.Reason != l.Reason:
		return "reason"
	case !strings.Contains(l.Error, f.Error):
		return "error"
	case f.Transport != "" && f.Transport != l.Transport:
		return "transport"
	case !f.Since.IsZero() && l.LastFailed.Before(f.Since), !f.Until.IsZero() && !l.LastFailed.Before(f.Until):
		return "time"
	}
	if f.Text == "" {
		return ""
	}
	if a := parse(l.Body); !strings.Contains(a.text(a.Content), f.Text) {
		return "text"
	}
	return ""
}

// Survey counts the dead letters of a queue that f chooses, and those it leaves out, by
// what.
func Survey(ctx context.Context, b broker.Admin, queue string, f Filter) (chosen int, left map[string]int, err error) {
	left = map[string]int{}
	err = browse(ctx, b, queue, func(l DeadLetter) (broker.Verdict, error) {
		if why := f.Excludes(l); why != "" {
			left[why]++
		} else {
			chosen++
		}
		return broker.Keep, nil
	})
	return chosen, left, err
}

// List returns the first limit dead letters of a queue that f chooses, by the time of
// their last failure, and how many more it chooses. Nobody else sees any of the
// queue while it runs. After a PartialError the rest of the result is valid.
func List(ctx context.Context, b broker.Admin, queue string, limit int, f Filter) (list []DeadLetter, more int, err error) {
	err = browse(ctx, b, queue, func(l DeadLetter) (broker.Verdict, error) {
		switch {
		case f.Excludes(l) != "":
		case len(list) < limit:
			list = append(list, l)
		default:
			more++
		}
		return broker.Keep, nil
	})
	slices.SortStableFunc(list, func(a, b DeadLetter) int { return cmp.Compare(a.LastFailed.Unix(), b.LastFailed.Unix()) })
	return list, more, err
}

// Again is how dead letters are tried again.
type Again struct {
	To    string // the queue they are put on; their own when empty
	Limit int    // no more than so many, the first in the queue; 0 is all
	// Before, where set, is called before each and may wait; its error ends the retry.
	Before func(context.Context) error
	// Done, where set, is called for each that is safe on its queue.
	Done func(l DeadLetter, queue string)
}

// Retry publishes the dead letters of a queue that f chooses, in their order, as if they
// were new, and returns how many. Each is confirmed before it is removed here: a
// crash in between repeats one. An error leaves the rest where it is; a PartialError
// says that some were not seen.
func (a Again) Retry(ctx context.Context, b broker.Broker, queue string, f Filter) (n int, err error) {
	return remove(ctx, b, queue, f, a.Limit, func(l DeadLetter) error {
		if a.Before != nil {
			if err := a.Before(ctx); err != nil {
				return err
			}
		}
		to := cmp.Or(a.To, l.Queue)
		err := b.Publish(ctx, broker.Publication{Queue: to, Body: l.Body, Headers: withoutFailures(l.Headers)})
		if errors.Is(err, broker.ErrUnroutable) {
			return fmt.Errorf("queue %s does not exist: start the worker that consumes it, then try again: %w", to, err)
		}
		if err == nil && a.Done != nil {
			a.Done(l, to)
		}
		return err
	})
}

// Drop deletes the dead letters of a queue that f chooses and returns how many. It calls
// dropped, which may be nil, for each. A PartialError says that some were not seen.
func Drop(ctx context.Context, b broker.Admin, queue string, f Filter, dropped func(DeadLetter)) (n int, err error) {
	return remove(ctx, b, queue, f, 0, func(l DeadLetter) error {
		if dropped != nil {
			dropped(l)
		}
		return nil
	})
}

// remove removes what f chooses once before has succeeded, at most limit where that is
// above 0.
func remove(ctx context.Context, b broker.Admin, queue string, f Filter, limit int, before func(DeadLetter) error) (n int, err error) {
	err = browse(ctx, b, queue, func(l DeadLetter) (broker.Verdict, error) {
		if limit > 0 && n == limit || f.Excludes(l) != "" {
			return broker.Keep, nil
		}
		if err := before(l); err != nil {
			return broker.Keep, fmt.Errorf("dead letter %s: %w", l.ID, err)
		}
		n++
		return broker.Remove, nil
	})
	return n, err
}

// browse visits as many dead letters as there are when it begins: what fails again
// meanwhile returns behind them.
func browse(ctx context.Context, b broker.Admin, queue string, visit func(DeadLetter) (broker.Verdict, error)) error {
	queue = QueueOf(queue)
	all, err := count(ctx, b, Name(queue))
	if err != nil || all == 0 {
		return err
	}
	seen, equal := 0, map[string]int{}
	err = b.Browse(ctx, Name(queue), all, func(d *broker.Delivery) (broker.Verdict, error) {
		l := read(d)
		seen++
		if equal[l.ID]++; equal[l.ID] > 1 {
			l.ID = fmt.Sprintf("%s-%d", l.ID, equal[l.ID])
		}
		return visit(l)
	})
	if err != nil {
		return fmt.Errorf("reading the dead letters of %s: %w", queue, err)
	}
	if seen < all {
		return &PartialError{queue, seen, all}
	}
	return nil
}

// returnPause is how soon what a killed command held is seen to return.
const returnPause = 200 * time.Millisecond

// count returns how many bodies a queue has, once no more return to it; 0 when there
// is no such queue.
func count(ctx context.Context, b broker.Admin, queue string) (n int, err error) {
	for range 50 {
		info, err := b.Inspect(ctx, queue)
		switch {
		case errors.Is(err, broker.ErrNoQueue):
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("counting %s: %w", queue, err)
		case info.Messages <= n || info.Messages == 0:
			return info.Messages, nil
		}
		n = info.Messages
		if !backoff.Sleep(ctx, returnPause) {
			return 0, ctx.Err()
		}
	}
	return n, nil // workers fail faster than this looks
}

// withoutFailures returns the headers without those of failures, and as received now.
// worker.HeaderKey stays.
func withoutFailures(h broker.Headers) broker.Headers {
	h = maps.Clone(h)
	for _, name := range [...]string{
		worker.HeaderReason, worker.HeaderError, worker.HeaderAttempts,
		worker.HeaderFirstFailed, worker.HeaderLastFailed, worker.HeaderWorker, worker.HeaderSince,
	} {
		delete(h, name)
	}
	return h
}
