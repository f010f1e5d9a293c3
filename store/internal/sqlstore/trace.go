package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"switchboard/store"
)

// The bounds of a trace: how many messages it shows, and how many times it
// looks for what they answer and what answers them.
const (
	traceRecords = 200
	traceEvents  = 2000
	traceRounds  = 6
)

// Trace finds a conversation: see store.Finder.
func (db *DB) Trace(ctx context.Context, key string) (*store.Trace, error) {
	t := &tracing{db: db, seen: map[place]bool{}, trace: new(store.Trace)}
	if err := t.find(ctx, store.Printable(key)); err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	if len(t.trace.Records) == 0 {
		return nil, fmt.Errorf("%.80q: %w", key, store.ErrNotFound)
	}
	if err := t.events(ctx); err != nil {
		return nil, fmt.Errorf("tracing: reading events: %w", err)
	}
	plans, err := t.plans(ctx)
	if err != nil {
		return nil, fmt.Errorf("tracing: reading broadcasts: %w", err)
	}
	return t.finish(plans), nil
}

type tracing struct {
	db    *DB
	seen  map[place]bool
	trace *store.Trace
}

// find reads what the key is of, and then what that answers and is answered by.
func (t *tracing) find(ctx context.Context, key string) error {
	byID, err := t.add(ctx, "t.id = $1", key)
	if err != nil {
		return err
	}
	if len(byID) == 0 {
		if byID, err = t.provided(ctx, key); err != nil {
			return err
		}
	}
	if len(byID) > 0 {
		return t.follow(ctx, byID)
	}
	broadcast, err := t.broadcast(ctx, key)
	if err != nil {
		return err
	}
	if broadcast != 0 {
		return t.list(ctx, store.Filter{Broadcast: broadcast})
	}
	return t.list(ctx, store.Filter{Address: key})
}

// provided reads the records that the outside calls by an id: inbound ones, or
// outbound ones by what their events say, which know the names of all attempts.
func (t *tracing) provided(ctx context.Context, id string) ([]store.Record, error) {
	found, err := t.add(ctx, "t.direction = 'I' AND t.provider_id = $1", id)
	if err != nil || len(found) > 0 {
		return found, err
	}
	messages, err := t.texts(ctx, "SELECT DISTINCT message_id FROM event WHERE provider_id = $1 AND direction = 'O'", id)
	if err != nil {
		return nil, err
	}
	return t.among(ctx, messages)
}

// broadcast finds whose message has an id; 0 when it is no broadcast's.
func (t *tracing) broadcast(ctx context.Context, id string) (broadcast int64, err error) {
	err = t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error { return rows.Scan(&broadcast) },
		"SELECT id FROM broadcast WHERE message_id = $1", id)
	return broadcast, err
}

// list reads the newest of what a filter finds.
func (t *tracing) list(ctx context.Context, f store.Filter) error {
	f.Limit = traceRecords + 1
	for r, err := range t.db.Messages(ctx, f) {
		if err != nil {
			return err
		}
		if len(t.trace.Records) == traceRecords {
			t.trace.Truncated = true
			break
		}
		t.trace.Records = append(t.trace.Records, r)
	}
	return nil
}

// follow reads what records answer, and what answers them, and so on.
func (t *tracing) follow(ctx context.Context, records []store.Record) error {
	for range traceRounds {
		var ids, parents []string
		for _, r := range records {
			ids = append(ids, r.ID)
			if r.InResponseTo != "" {
				parents = append(parents, r.InResponseTo)
			}
		}
		answers, err := t.answers(ctx, ids)
		if err != nil {
			return err
		}
		if records, err = t.among(ctx, append(answers, parents...)); err != nil || len(records) == 0 {
			return err
		}
	}
	return nil
}

// answers are the ids of the messages that answer those of ids.
func (t *tracing) answers(ctx context.Context, ids []string) ([]string, error) {
	list, args := params(t.bounded(ids))
	return t.texts(ctx, "SELECT m.id FROM message m WHERE m.in_response_to IN "+list, args...)
}

// texts reads a column, no more of it than a trace shows.
func (t *tracing) texts(ctx context.Context, query string, args ...any) (texts []string, err error) {
	err = t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		texts = append(texts, text)
		return err
	}, query+limit(traceRecords), args...)
	return texts, err
}

func (t *tracing) among(ctx context.Context, ids []string) ([]store.Record, error) {
	if len(ids) == 0 || t.trace.Truncated {
		return nil, nil
	}
	list, args := params(t.bounded(ids))
	return t.add(ctx, "t.id IN "+list, args...)
}

// bounded are no more than a trace shows.
func (t *tracing) bounded(ids []string) []string {
	if len(ids) > traceRecords {
		ids, t.trace.Truncated = ids[:traceRecords], true
	}
	return ids
}

// params writes values as parameters.
func params[T any](values []T) (list string, args []any) {
	names := make([]string, len(values))
	for i, value := range values {
		args = append(args, value)
		names[i] = param(i + 1)
	}
	return "(" + strings.Join(names, ", ") + ")", args
}

// add reads records and returns those that are new.
func (t *tracing) add(ctx context.Context, condition string, args ...any) (added []store.Record, err error) {
	err = t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var body string
		at := place{}
		r, err := scanRecord(rows, orNull[string]{&body}, &at.backend, &at.month)
		if err != nil {
			return err
		}
		r.Body, at.wire = body, wire{r.ID, r.Direction}
		if len(t.trace.Records) >= traceRecords {
			t.trace.Truncated = true
		} else if !t.seen[at] {
			t.seen[at] = true
			added = append(added, r)
			t.trace.Records = append(t.trace.Records, r)
		}
		return nil
	}, "SELECT "+recordColumns+", m.body, t.backend_id, t.month"+recordTables+" WHERE "+condition+
		" ORDER BY t.date"+limit(traceRecords+1), args...)
	return added, err
}

const eventRecordColumns = `e.id, e.message_id, e.direction, e.type, e.status, e.reason, e.provider_id, b.name,
	e.application, e.date, e.recorded, e.body`

// events reads what was said about the records.
func (t *tracing) events(ctx context.Context) error {
	var rows [][]any
	var wires []wire
	for _, r := range t.trace.Records {
		wires = append(wires, wire{r.ID, r.Direction})
	}
	slices.SortFunc(wires, wire.compare)
	for _, w := range slices.Compact(wires) {
		rows = append(rows, []any{w.id, string(w.direction)})
	}
	with, args := t.db.with("r", "id, direction", []Type{Text, Text}, rows)
	err := t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		e := new(store.EventRecord)
		err := rows.Scan(&e.ID, &e.MessageID, &e.Direction, &e.Type, orNull[string]{&e.Status}, orNull[string]{&e.Reason},
			orNull[string]{&e.ProviderID}, orNull[string]{&e.Backend}, orNull[string]{&e.Application},
			moment{&e.Date}, moment{&e.Recorded}, orNull[string]{&e.Body})
		e.Attempt, e.HandedOver = handoverOf(e)
		t.trace.Steps = append(t.trace.Steps, store.Step{At: e.Date, What: said(e), Event: e})
		return err
	}, with+"SELECT "+eventRecordColumns+` FROM r JOIN event e ON e.message_id = r.id AND e.direction = r.direction
		LEFT JOIN backend b ON b.id = e.backend_id ORDER BY e.date, e.id`+limit(traceEvents), args...)
	t.trace.Truncated = t.trace.Truncated || len(t.trace.Steps) == traceEvents
	return err
}

func said(e *store.EventRecord) string {
	if e.Status != "" {
		return e.Type + " " + e.Status
	}
	return e.Type
}

// begun is how a record begins.
func begun(r *store.Record) string {
	switch {
	case r.Direction == store.Inbound:
		return "received by transport"
	case r.Broadcast != 0:
		return "stored by broadcast"
	case r.Application != "":
		return "sent by application"
	}
	return "sent to transport" // by whom nobody knows
}

// finish puts all in time order.
func (t *tracing) finish(plans map[int64]plan) *store.Trace {
	records := t.trace.Records
	slices.SortStableFunc(records, func(a, b store.Record) int { return cmp.Or(a.Date.Compare(b.Date), cmp.Compare(a.ID, b.ID)) })
	for i := range records {
		r := &records[i]
		t.trace.Steps = append(t.trace.Steps, store.Step{At: r.Date, What: begun(r), Record: r})
		if missing := missing(r, plans); missing != "" {
			t.trace.Missing = append(t.trace.Missing, r.ID+": "+missing)
		}
	}
	t.trace.Steps = append(t.handovers(), t.trace.Steps...)
	slices.SortStableFunc(t.trace.Steps, func(a, b store.Step) int {
		// A message precedes what is said of it at the same moment.
		return cmp.Or(a.At.Compare(b.At), -cmp.Compare(boolInt(a.Record != nil), boolInt(b.Record != nil)))
	})
	return t.trace
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
