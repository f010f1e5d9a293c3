package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"switchboard/store"
)

// plan is what a broadcast has still to do, as far as a trace tells it.
type plan struct {
	id    int64
	state store.BroadcastState
	start time.Time
	tries int // the first and its retries
}

// plans reads the broadcasts of the trace's records, and lets the records know
// how often they are tried and when next.
func (t *tracing) plans(ctx context.Context) (map[int64]plan, error) {
	var ids []int64
	var failed []string
	for _, r := range t.trace.Records {
		if r.Broadcast != 0 {
			ids = append(ids, r.Broadcast)
		}
		if r.Broadcast != 0 && r.Status == store.StatusError {
			failed = append(failed, r.ID)
		}
	}
	slices.Sort(ids)
	plans, err := t.readPlans(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	due, err := t.readRetries(ctx, failed)
	for i := range t.trace.Records {
		r := &t.trace.Records[i]
		r.Tries = plans[r.Broadcast].tries
		r.NextTry = due[r.ID]
	}
	return plans, err
}

func (t *tracing) readPlans(ctx context.Context, broadcasts []int64) (map[int64]plan, error) {
	if len(broadcasts) == 0 {
		return nil, nil
	}
	plans := map[int64]plan{}
	list, args := params(broadcasts)
	return plans, t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var p plan
		err := rows.Scan(&p.id, &p.state, moment{&p.start}, &p.tries)
		plans[p.id] = p
		return err
	}, "SELECT id, state, start, retries + 1 FROM broadcast WHERE id IN "+list, args...)
}

// readRetries is when transmissions that failed are tried again.
func (t *tracing) readRetries(ctx context.Context, failed []string) (map[string]time.Time, error) {
	if len(failed) == 0 {
		return nil, nil
	}
	due := map[string]time.Time{}
	list, args := params(failed)
	return due, t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var id string
		var at time.Time
		err := rows.Scan(&id, moment{&at})
		due[id] = at
		return err
	}, "SELECT id, due FROM broadcast_retry WHERE id IN "+list, args...)
}

// missing says what has not happened yet to a record, and why not.
func missing(r *store.Record, plans map[int64]plan) string {
	what := r.Missing()
	p, planned := plans[r.Broadcast]
	switch {
	case !r.NextTry.IsZero():
		what = fmt.Sprintf("attempt %d of %d, due %s", r.Attempts+1, r.Tries, shown(r.NextTry))
	case !planned || r.Status != store.StatusQueued:
		return what
	}
	switch {
	case p.state == store.BroadcastPaused:
		what += fmt.Sprintf("; broadcast %d is paused", p.id)
	case p.start.After(time.Now()):
		what += fmt.Sprintf("; broadcast %d starts %s", p.id, shown(p.start))
	}
	return what
}

func shown(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
