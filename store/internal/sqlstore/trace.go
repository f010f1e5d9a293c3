package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// The bounds of a trace. A round follows the replies of the messages found in the one before.
const (
	traceRecords = 200
	traceEvents  = 2000
	traceRounds  = 6
)

// Trace implements store.Finder.
func (db *DB) Trace(ctx context.Context, key string) (*store.Trace, error) {
	if key == "" {
		return nil, fmt.Errorf("an empty id or address: %w", store.ErrNotFound)
	}
	t := &tracer{db: db, seen: map[transmissionKey]bool{}, trace: new(store.Trace)}
	if err := t.find(ctx, key); err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	if len(t.trace.Records) == 0 {
		return nil, fmt.Errorf("%.80q: %w", key, store.ErrNotFound)
	}
	if err := t.events(ctx); err != nil {
		return nil, fmt.Errorf("tracing: reading events: %w", err)
	}
	plans, err := t.readPlansAndRetries(ctx)
	if err != nil {
		return nil, fmt.Errorf("tracing: reading broadcasts: %w", err)
	}
	return t.finish(plans), nil
}

type tracer struct {
	db    *DB
	seen  map[transmissionKey]bool
	trace *store.Trace
}

// find reads the messages that key names, then those that they answer and that answer them.
func (t *tracer) find(ctx context.Context, key string) error {
	id := short(key)
	byID, err := t.add(ctx, "t.id = $1", id)
	if err != nil {
		return err
	}
	if len(byID) == 0 {
		if byID, err = t.byProviderID(ctx, id); err != nil {
			return err
		}
	}
	if len(byID) > 0 {
		return t.follow(ctx, byID)
	}
	broadcast, err := t.broadcast(ctx, id)
	if err != nil {
		return err
	}
	if broadcast != 0 {
		return t.list(ctx, store.Filter{Broadcast: broadcast})
	}
	return t.list(ctx, store.Filter{Address: key})
}

// byProviderID reads the records with a provider's id. An outbound message has one for each
// attempt, which only its events keep.
func (t *tracer) byProviderID(ctx context.Context, id string) ([]store.Record, error) {
	found, err := t.add(ctx, "t.direction = 'I' AND t.provider_id = $1", id)
	if err != nil || len(found) > 0 {
		return found, err
	}
	messages, err := t.readTexts(ctx, "SELECT DISTINCT message_id FROM event WHERE provider_id = $1 AND direction = 'O'", id)
	if err != nil {
		return nil, err
	}
	return t.byIDs(ctx, messages)
}

// broadcast returns the broadcast whose message has an id; 0 when there is none.
func (t *tracer) broadcast(ctx context.Context, id string) (broadcast int64, err error) {
	err = t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error { return rows.Scan(&broadcast) },
		"SELECT id FROM broadcast WHERE message_id = $1", id)
	return broadcast, err
}

func (t *tracer) list(ctx context.Context, f store.Filter) error {
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

func (t *tracer) follow(ctx context.Context, records []store.Record) error {
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
		if records, err = t.byIDs(ctx, append(answers, parents...)); err != nil || len(records) == 0 {
			return err
		}
	}
	return nil
}

// answers returns the ids of the messages that answer ids.
func (t *tracer) answers(ctx context.Context, ids []string) ([]string, error) {
	list, args := params(t.limited(ids))
	return t.readTexts(ctx, "SELECT m.id FROM message m WHERE m.in_response_to IN "+list, args...)
}

// readTexts reads a column of texts, as many as a trace shows.
func (t *tracer) readTexts(ctx context.Context, query string, args ...any) (texts []string, err error) {
	err = t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		texts = append(texts, text)
		return err
	}, query+limit(traceRecords), args...)
	return texts, err
}

func (t *tracer) byIDs(ctx context.Context, ids []string) ([]store.Record, error) {
	if len(ids) == 0 || t.trace.Truncated {
		return nil, nil
	}
	list, args := params(t.limited(ids))
	return t.add(ctx, "t.id IN "+list, args...)
}

// limited truncates ids to what a trace shows.
func (t *tracer) limited(ids []string) []string {
	if len(ids) > traceRecords {
		ids, t.trace.Truncated = ids[:traceRecords], true
	}
	return ids
}

// params returns a list of parameters: ($1, $2).
func params[T any](values []T) (list string, args []any) {
	names := make([]string, len(values))
	for i, value := range values {
		args = append(args, value)
		names[i] = param(i + 1)
	}
	return "(" + strings.Join(names, ", ") + ")", args
}

// add reads records and returns the new ones.
func (t *tracer) add(ctx context.Context, condition string, args ...any) (added []store.Record, err error) {
	err = t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var body string
		at := transmissionKey{}
		r, err := scanRecord(rows, scanNull[string]{&body}, &at.backend, &at.month)
		if err != nil {
			return err
		}
		r.Body, at.wireID = body, wireID{r.ID, r.Direction}
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

// events reads the events of the records.
func (t *tracer) events(ctx context.Context) error {
	var rows [][]any
	var ids []wireID
	for _, r := range t.trace.Records {
		ids = append(ids, wireID{r.ID, r.Direction})
	}
	slices.SortFunc(ids, wireID.compare)
	for _, w := range slices.Compact(ids) {
		rows = append(rows, []any{w.id, string(w.direction)})
	}
	with, args := t.db.with("r", "id, direction", []Type{Text, Text}, rows)
	err := t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		e := new(store.EventRecord)
		err := rows.Scan(&e.ID, &e.MessageID, &e.Direction, &e.Type, scanNull[string]{&e.Status}, scanNull[string]{&e.Reason},
			scanNull[string]{&e.ProviderID}, scanNull[string]{&e.Backend}, scanNull[string]{&e.Application},
			scanTime{&e.Date}, scanTime{&e.Recorded}, scanNull[string]{&e.Body})
		e.Attempt, e.HandedOver = handoverOf(e)
		t.trace.Steps = append(t.trace.Steps, store.Step{At: e.Date, What: eventStep(e), Event: e})
		return err
	}, with+"SELECT "+eventRecordColumns+` FROM r JOIN event e ON e.message_id = r.id AND e.direction = r.direction
		LEFT JOIN backend b ON b.id = e.backend_id ORDER BY e.date, e.id`+limit(traceEvents), args...)
	t.trace.Truncated = t.trace.Truncated || len(t.trace.Steps) == traceEvents
	return err
}

func eventStep(e *store.EventRecord) string {
	if e.Status != "" {
		return e.Type + " " + e.Status
	}
	return e.Type
}

// firstStep names the first step of a record.
func firstStep(r *store.Record) string {
	switch {
	case r.Direction == store.Inbound:
		return "received by transport"
	case r.Broadcast != 0:
		return "stored by broadcast"
	case r.Application != "":
		return "sent by application"
	}
	return "sent to transport"
}

// finish sorts the steps by time.
func (t *tracer) finish(plans map[int64]broadcastPlan) *store.Trace {
	records := t.trace.Records
	slices.SortStableFunc(records, func(a, b store.Record) int { return cmp.Or(a.Date.Compare(b.Date), cmp.Compare(a.ID, b.ID)) })
	for i := range records {
		r := &records[i]
		t.trace.Steps = append(t.trace.Steps, store.Step{At: r.Date, What: firstStep(r), Record: r})
		if missing := missing(r, plans); missing != "" {
			t.trace.Missing = append(t.trace.Missing, r.ID+": "+missing)
		}
	}
	t.trace.Steps = append(t.handovers(), t.trace.Steps...)
	slices.SortStableFunc(t.trace.Steps, func(a, b store.Step) int {
		// A message comes before its events of the same time.
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

// handoverOf is the attempt that an event is about, and the time of its handover, if the
// event's body says so.
func handoverOf(e *store.EventRecord) (attempt int, at time.Time) {
	var wrote struct {
		Routing message.Object `json:"routing_metadata"`
	}
	if json.Unmarshal([]byte(e.Body), &wrote) != nil {
		return 0, at
	}
	return store.HandoverIn(&wrote.Routing)
}

// handovers are the handovers of broadcasts' messages. Their events have the time of it; a
// record without events was last updated by it.
func (t *tracer) handovers() (steps []store.Step) {
	type attempt struct {
		id string
		n  int
	}
	told := map[attempt]bool{}
	tell := func(at attempt, backend string, when time.Time) {
		if told[at] || when.IsZero() {
			return
		}
		told[at] = true
		steps = append(steps, store.Step{At: when, What: fmt.Sprintf("handed over (attempt %d)", at.n), Event: &store.EventRecord{
			MessageID: at.id, Direction: store.Outbound, Type: "handed_over", Backend: backend,
			Attempt: at.n, Date: when, Recorded: when,
		}})
	}
	for _, s := range t.trace.Steps {
		if s.Event != nil && s.Event.Attempt > 0 {
			tell(attempt{s.Event.MessageID, s.Event.Attempt}, s.Event.Backend, s.Event.HandedOver)
		}
	}
	for _, r := range t.trace.Records {
		if r.Broadcast != 0 && r.Status == store.StatusPassing {
			tell(attempt{r.ID, r.Attempts}, r.Backend, r.Updated)
		}
	}
	return steps
}

// broadcastPlan is the part of a broadcast that a trace shows.
type broadcastPlan struct {
	id    int64
	state store.BroadcastState
	start time.Time
	tries int // the first attempt and the retries
}

// readPlansAndRetries reads the broadcasts of the records, and sets the records' tries and
// next try.
func (t *tracer) readPlansAndRetries(ctx context.Context) (map[int64]broadcastPlan, error) {
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

func (t *tracer) readPlans(ctx context.Context, broadcasts []int64) (map[int64]broadcastPlan, error) {
	if len(broadcasts) == 0 {
		return nil, nil
	}
	plans := map[int64]broadcastPlan{}
	list, args := params(broadcasts)
	return plans, t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var p broadcastPlan
		err := rows.Scan(&p.id, &p.state, scanTime{&p.start}, &p.tries)
		plans[p.id] = p
		return err
	}, "SELECT id, state, start, retries + 1 FROM broadcast WHERE id IN "+list, args...)
}

// readRetries returns when transmissions are retried.
func (t *tracer) readRetries(ctx context.Context, failed []string) (map[string]time.Time, error) {
	if len(failed) == 0 {
		return nil, nil
	}
	due := map[string]time.Time{}
	list, args := params(failed)
	return due, t.db.query(ctx, t.db.Read, func(rows *sql.Rows) error {
		var id string
		var at time.Time
		err := rows.Scan(&id, scanTime{&at})
		due[id] = at
		return err
	}, "SELECT id, due FROM broadcast_retry WHERE id IN "+list, args...)
}

// missing says what has not happened to a record yet, and why.
func missing(r *store.Record, plans map[int64]broadcastPlan) string {
	what := r.Missing()
	p, planned := plans[r.Broadcast]
	switch {
	case !r.NextTry.IsZero():
		what = fmt.Sprintf("attempt %d of %d, due %s", r.Attempts+1, r.Tries, formatTime(r.NextTry))
	case !planned || r.Status != store.StatusQueued:
		return what
	}
	switch {
	case p.state == store.BroadcastPaused:
		what += fmt.Sprintf("; broadcast %d is paused", p.id)
	case p.start.After(time.Now()):
		what += fmt.Sprintf("; broadcast %d starts %s", p.id, formatTime(p.start))
	}
	return what
}

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
