// Package send stores texts for one person or for many as broadcasts, which the
// persistence workers hand over to transports.
package send

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"switchboard/operate"
	"switchboard/store"
	"switchboard/worker"
)

// Request is a text and those it is for.
type Request struct {
	List      List
	Broadcast store.Broadcast
	// Schedule is when it starts, as ParseStart reads it.
	Schedule string
	// Force sends also by a transport that no persistence worker has recorded yet.
	Force bool
	// Used counts the list's addresses by transport, once Create has returned.
	Used map[string]int
	// OnLine is called for each line of the list, with how many bytes and lines
	// have been read.
	OnLine func(bytes int64, lines int)
	// OnBad is called for each line that is skipped, with how many there were.
	OnBad func(err error, n int)
}

// Check finds what is wrong with a request by itself.
func (r *Request) Check() (err error) {
	b := &r.Broadcast
	switch {
	case b.Text == "":
		return errors.New("say what to send: --text 'Hello'")
	case b.BatchSize < 1:
		return errors.New("--batch-size must be at least 1")
	case b.Rate < 0:
		return errors.New("--rate must not be negative")
	case math.IsNaN(b.Rate) || math.IsInf(b.Rate, 0):
		return errors.New("--rate must be a number of messages a second, or 0 for no limit")
	case b.RetryAfter <= 0:
		return errors.New("--retry-after must be above 0")
	case b.Retries < 0:
		return errors.New("--retries must not be negative")
	}
	if b.Retries == 0 {
		b.Retries = -1 // the store's word for none
	}
	if r.List.Transport != "" {
		if err := worker.CheckConnector(r.List.Transport); err != nil {
			return fmt.Errorf("--transport: %w", err)
		}
	}
	if b.Start, err = ParseStart(r.Schedule, time.Now()); err != nil {
		return fmt.Errorf("--schedule: %w", err)
	}
	return r.List.check()
}

// Create stores a request that was checked, and counts the list's bad lines.
func (r *Request) Create(ctx context.Context, db store.Database, source Source) (created store.Created, bad int, err error) {
	if !r.Force {
		if err := r.List.learnTransports(ctx, db); err != nil {
			return created, 0, err
		}
	}
	open, err := r.List.open(ctx, source)
	if err != nil {
		return created, 0, err
	}
	defer open.close()
	r.Used = map[string]int{}
	reading := &reading{table: open, request: r}
	created, err = db.Create(ctx, r.Broadcast, reading.recipients(ctx))
	if errors.Is(err, store.ErrNoRecipients) {
		err = fmt.Errorf("%s read, %d opted out, %d bad", counted(reading.lines, "line"), created.OptedOut, reading.bad)
	}
	if err != nil {
		return created, reading.bad, fmt.Errorf("nothing is sent: %w", err)
	}
	return created, reading.bad, nil
}

// ParseStart reads a moment to come, or how long until then.
func ParseStart(text string, now time.Time) (start time.Time, err error) {
	if text == "" {
		return start, nil
	}
	if in, err := time.ParseDuration(text); err == nil {
		start = now.Add(in)
	} else if start, err = parseMoment(text); err != nil {
		return start, err
	}
	if start.Before(now) {
		return start, fmt.Errorf("%s is past", start.Format(time.RFC3339))
	}
	return start, nil
}

func parseMoment(text string) (time.Time, error) {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a moment (2026-11-21T08:00:00Z, 2026-11-21 08:00) nor a time from now (2h)", text)
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// reading is a list being read.
type reading struct {
	*table
	request *Request
	lines   int // read so far
	bad     int // of them
}

// recipients yields what a list says; it reports and skips what is bad.
func (r *reading) recipients(ctx context.Context) iter.Seq2[store.Recipient, error] {
	return func(yield func(store.Recipient, error) bool) {
		for ctx.Err() == nil {
			recipient, err := r.next(ctx)
			var line badLine
			switch {
			case errors.Is(err, errEnd):
				if r.bad > 0 && r.request.List.Strict {
					yield(recipient, operate.Misused(fmt.Errorf("%s in the list", counted(r.bad, "bad line"))))
				}
				return
			case errors.As(err, &line):
				r.bad++
				r.request.OnBad(err, r.bad)
				continue
			}
			if !yield(recipient, err) || err != nil {
				return
			}
		}
		yield(store.Recipient{}, ctx.Err())
	}
}

func (r *reading) next(ctx context.Context) (recipient store.Recipient, err error) {
	fields, line, err := r.rows.next(ctx)
	if errors.Is(err, errEnd) {
		return recipient, err
	}
	r.lines++
	r.request.OnLine(r.read(), r.lines)
	if err == nil {
		if recipient, err = r.recipient(&r.request.List, fields); err != nil {
			err = badLine{line, err}
		} else {
			r.request.Used[recipient.Backend]++
		}
	}
	return recipient, err
}

// How often Await looks, and when it wonders whether anybody works.
const (
	waitEvery  = 500 * time.Millisecond
	wonderWhen = 30 * time.Second
)

// Await returns once a broadcast is done or cancelled. It calls moved each time it
// has looked, and stalled each time nothing has moved for a while.
func Await(ctx context.Context, db store.Broadcasts, id int64, moved func(*store.BroadcastInfo), stalled func(*store.BroadcastInfo, time.Duration)) error {
	poll := time.NewTicker(waitEvery)
	defer poll.Stop()
	since, last := time.Now(), int64(-1)
	for {
		info, err := db.Broadcast(ctx, id)
		if err != nil {
			return err
		}
		moved(info)
		if info.State == store.BroadcastDone || info.State == store.BroadcastCancelled {
			return nil
		}
		if info.Open != last {
			since, last = time.Now(), info.Open
		} else if time.Since(since) > wonderWhen && info.Start.Before(since) && info.Retrying == 0 {
			stalled(info, wonderWhen)
			since = time.Now()
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
