package scheduler

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/backoff"
	"switchboard/internal/collectors"
	"switchboard/message"
	"switchboard/operate/send"
	"switchboard/store"
	"switchboard/worker"
)

const (
	// lookEvery is the longest time between looking what is due: clocks are set.
	lookEvery = time.Minute
	// failedEvery is the time between attempts at what failed.
	failedEvery = 10 * time.Second
)

// runner is the running worker.
type runner struct {
	*Scheduler
	env     worker.Dependencies
	book    Book
	settled map[string]time.Time // by schedule: nothing up to then is to be sent
	sent    *prometheus.CounterVec
}

func newRunner(s *Scheduler, env worker.Dependencies) (*runner, error) {
	if env.Registerer == nil {
		env.Registerer = prometheus.NewRegistry()
	}
	set := collectors.Set{Registerer: env.Registerer, Prefix: "switchboard_schedule_"}
	r := &runner{Scheduler: s, env: env, book: Book{env.Record}, settled: map[string]time.Time{}}
	r.sent = set.Counter("times_total",
		"Times that came, by outcome: sent, shared (another replica sent it), paused, nobody (no address is left), missed, failed (to be tried again).",
		"schedule", "outcome")
	return r, set.Err
}

// Run sends what is due until ctx ends.
func (r *runner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		now := time.Now()
		next, err := r.look(ctx, now)
		wait := min(next.Sub(now), lookEvery)
		r.report(err)
		if err != nil && ctx.Err() == nil {
			r.env.Logger.Error("what is scheduled cannot be sent; it is tried again", "error", err, "in", failedEvery.String())
			wait = failedEvery
		}
		backoff.Sleep(ctx, wait)
	}
	return nil
}

// report shows in the worker's status that something due is not sent.
func (r *runner) report(err error) {
	health, why := message.OK, ""
	if err != nil {
		health, why = message.Degraded, err.Error()
	}
	r.env.Monitor.Report("scheduler", r.env.Name, health, why)
}

// look sends what is due at now, and returns when the next is.
func (r *runner) look(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(lookEvery)
	var errs []error
	for _, p := range r.plans {
		after, err := r.one(ctx, p, now)
		errs = append(errs, err)
		if !after.IsZero() && after.Before(next) {
			next = after
		}
	}
	return next, errors.Join(errs...)
}

func (r *runner) one(ctx context.Context, p plan, now time.Time) (next time.Time, err error) {
	found, err := r.book.read(ctx, r.env.Name+"/"+p.name)
	if err != nil {
		return now, err
	}
	entry := found[0]
	settled, known := r.settled[p.name]
	if !known {
		settled = now
		if !entry.Settled.IsZero() {
			settled = entry.Settled
		}
	}
	at, missed, next := due(p.times, settled, now, r.MaxLate.Std())
	if missed > 0 {
		r.sent.WithLabelValues(p.name, "missed").Add(float64(missed))
		r.env.Logger.Warn("times of a schedule were missed", "schedule", p.name, "missed", missed)
	}
	if !at.IsZero() {
		outcome, created, err := r.send(ctx, p, entry, at)
		r.sent.WithLabelValues(p.name, outcome).Inc()
		r.settled[p.name] = at.Add(-1) // what was missed before it is counted
		if created > 0 {
			err = r.book.writeLast(ctx, entry.ID, last{at, created})
		}
		if err != nil {
			return now, err
		}
	}
	r.settled[p.name] = now
	entry.When, entry.Timezone, entry.Text, entry.Next, entry.Settled = p.words(), r.Timezone, p.Text, next, now
	return next, r.book.write(ctx, entry)
}

// send stores the broadcast of one time.
func (r *runner) send(ctx context.Context, p plan, entry Entry, at time.Time) (outcome string, broadcast int64, err error) {
	if entry.Paused {
		r.env.Logger.Info("a schedule is paused", "schedule", p.name, "at", at)
		return "paused", 0, nil
	}
	request := send.Request{
		List: send.List{Transport: p.Transport, To: p.To, File: p.FromFile},
		Broadcast: store.Broadcast{
			Name: entry.ID, Text: p.Text, From: p.From, Endpoint: p.Endpoint, Rate: p.Rate,
			Key: "schedule/" + entry.ID + "/" + at.UTC().Format(time.RFC3339),
		},
		OnLine: func(int64, int) {},
		OnBad: func(err error, _ int) {
			r.env.Logger.Warn("a line of the list is skipped", "schedule", p.name, "error", err)
		},
	}
	created, _, err := request.Create(ctx, r.env.Record, send.Source{Open: openFile})
	switch {
	case errors.Is(err, store.ErrExists):
		return "shared", 0, nil
	case errors.Is(err, store.ErrNoRecipients):
		r.env.Logger.Warn("a schedule has nobody to send to", "schedule", p.name, "error", err)
		return "nobody", 0, nil
	case err != nil:
		return "failed", 0, err
	}
	r.env.Logger.Info("a schedule is sent", "schedule", p.name, "at", at, "broadcast", created.ID, "messages", created.Total)
	return "sent", created.ID, nil
}

func openFile(path string) (io.ReadCloser, int64, error) {
	file, err := os.Open(path)
	return file, 0, err
}
