package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
)

var eventTypes = []Type{Text, Int, Text, Text, Int, Text, Text, Text, Text, Text, Time, Time, Text}

const eventColumns = "id, month, message_id, direction, backend_id, type, status, reason, provider_id, application, date, recorded, body"

func (e *event) row(now time.Time) []any {
	return []any{
		e.name, e.month, e.wire.id, string(e.direction), null(e.backendID), e.kind, null(e.status), null(e.reason),
		null(e.provider), null(e.app), when(e.date), now, null(e.body),
	}
}

// saying is what makes an event the same as another, beside its id: a transport
// may give one id to an ack and a report, or to events of two messages.
type saying struct {
	id    string
	month int64
	wire
	kind, status string
}

func (e *event) saying() saying { return saying{e.id, e.month, e.wire, e.kind, e.status} }

// ownName is what an event is called whose id another has.
func (s saying) ownName() string {
	text := strings.Join([]string{s.id, s.wire.id, string(s.direction), s.kind, s.status}, "\x00")
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// insertEvents stores events and says which of them are new: each counts once.
func (b *batch) insertEvents(ctx context.Context, items []*item) (fresh map[*event]bool, err error) {
	named := map[string]*event{}
	var left []*event
	for _, it := range items {
		switch e := it.event; {
		case e == nil:
		case named[e.id] == nil:
			e.name = e.id
			named[e.name] = e
		default:
			left = append(left, e)
		}
	}
	if fresh, err = b.storeEvents(ctx, named); err != nil {
		return nil, err
	}
	for _, e := range named {
		if !fresh[e] {
			left = append(left, e)
		}
	}
	if len(left) == 0 {
		return fresh, nil
	}
	more, err := b.insertNamesakes(ctx, left)
	maps.Copy(fresh, more)
	return fresh, err
}

// insertNamesakes stores those of events that say something else than the event
// that has their id: by names of their own.
func (b *batch) insertNamesakes(ctx context.Context, events []*event) (map[*event]bool, error) {
	there, err := b.sayings(ctx, events)
	if err != nil {
		return nil, err
	}
	named := map[string]*event{}
	for _, e := range events {
		if s := e.saying(); !there[s] {
			e.name = s.ownName()
			named[e.name] = e // of the same event twice either will do
		}
	}
	return b.storeEvents(ctx, named)
}

// storeEvents stores events by their names, and says which were not there.
func (b *batch) storeEvents(ctx context.Context, named map[string]*event) (fresh map[*event]bool, err error) {
	fresh = make(map[*event]bool, len(named))
	rows := make([][]any, 0, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		rows = append(rows, named[name].row(b.now))
	}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", eventColumns, eventTypes, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			fresh[named[name]] = true
			return err
		}, with+"INSERT INTO event ("+eventColumns+") SELECT "+eventColumns+
			" FROM r WHERE true ON CONFLICT DO NOTHING RETURNING id", args...)
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// sayings are what the events say that have the ids of events.
func (b *batch) sayings(ctx context.Context, events []*event) (map[saying]bool, error) {
	rows := make([][]any, len(events))
	for i, e := range events {
		rows[i] = []any{e.id, e.month}
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(string), b[0].(string)) })
	there := make(map[saying]bool, len(rows))
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", "id, month", []Type{Text, Int}, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var s saying
			err := rows.Scan(&s.id, &s.month, &s.wire.id, &s.direction, &s.kind, orNull[string]{&s.status})
			there[s] = true
			return err
		}, with+`SELECT e.id, e.month, e.message_id, e.direction, e.type, e.status
			FROM r JOIN event e ON e.id = r.id AND e.month = r.month`, args...)
		if err != nil {
			return nil, err
		}
	}
	return there, nil
}
