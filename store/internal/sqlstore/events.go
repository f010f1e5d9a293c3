package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

var eventTypes = []Type{Text, Int, Text, Text, Int, Text, Text, Text, Text, Text, Time, Time, Text}

const eventColumns = "id, month, message_id, direction, backend_id, type, status, reason, provider_id, application, date, recorded, body"

func (e *event) row(now time.Time) []any {
	return []any{
		e.name, e.month, e.wireID.id, string(e.direction), null(e.backendID), e.kind, null(e.status), null(e.reason),
		null(e.provider), null(e.app), nullTime(e.date), now, null(e.body),
	}
}

// eventKey distinguishes events. Their id alone does not: a transport may give one id to an
// ack and a report, or to events of two messages.
type eventKey struct {
	id    string
	month int64
	wireID
	kind, status string
}

func (e *event) eventKey() eventKey { return eventKey{e.id, e.month, e.wireID, e.kind, e.status} }

// derivedID is the id under which an event is stored whose own id another event has.
func (s eventKey) derivedID() string {
	text := strings.Join([]string{s.id, s.wireID.id, string(s.direction), s.kind, s.status}, "\x00")
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// insertEvents stores events and returns the new ones, so that each counts once.
func (b *batch) insertEvents(ctx context.Context, items []*item) (inserted map[*event]bool, err error) {
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
	if inserted, err = b.storeEvents(ctx, named); err != nil {
		return nil, err
	}
	for _, e := range named {
		if !inserted[e] {
			left = append(left, e)
		}
	}
	if len(left) == 0 {
		return inserted, nil
	}
	more, err := b.insertSameID(ctx, left)
	maps.Copy(inserted, more)
	return inserted, err
}

// insertSameID stores events whose id another event has, under derived ids.
func (b *batch) insertSameID(ctx context.Context, events []*event) (map[*event]bool, error) {
	there, err := b.existingEvents(ctx, events)
	if err != nil {
		return nil, err
	}
	named := map[string]*event{}
	for _, e := range events {
		if s := e.eventKey(); !there[s] {
			e.name = s.derivedID()
			named[e.name] = e
		}
	}
	return b.storeEvents(ctx, named)
}

// storeEvents stores events by their stored ids and returns the new ones.
func (b *batch) storeEvents(ctx context.Context, named map[string]*event) (inserted map[*event]bool, err error) {
	inserted = make(map[*event]bool, len(named))
	rows := make([][]any, 0, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		rows = append(rows, named[name].row(b.now))
	}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", eventColumns, eventTypes, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			inserted[named[name]] = true
			return err
		}, with+"INSERT INTO event ("+eventColumns+") SELECT "+eventColumns+
			" FROM r WHERE true ON CONFLICT DO NOTHING RETURNING id", args...)
		if err != nil {
			return nil, err
		}
	}
	return inserted, nil
}

// existingEvents returns the stored events that have the ids of events.
func (b *batch) existingEvents(ctx context.Context, events []*event) (map[eventKey]bool, error) {
	rows := make([][]any, len(events))
	for i, e := range events {
		rows[i] = []any{e.id, e.month}
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(string), b[0].(string)) })
	there := make(map[eventKey]bool, len(rows))
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", "id, month", []Type{Text, Int}, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var s eventKey
			err := rows.Scan(&s.id, &s.month, &s.wireID.id, &s.direction, &s.kind, scanNull[string]{&s.status})
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

const earlyColumns = "event_id, id, direction, backend_id, progress, attempt, date, reason, provider_id, application, recorded"

var earlyTypes = []Type{Text, Text, Text, Int, Int, Int, Time, Text, Text, Text, Time}

// storeEarly keeps the updates whose transmissions are not stored yet.
func (b *batch) storeEarly(ctx context.Context) error {
	var rows [][]any
	for _, w := range b.unapplied() {
		if w.event == "" {
			continue // a message that Retention has just deleted
		}
		rows = append(rows, []any{
			w.event, w.id, string(w.direction), w.backend, int64(w.progress), int64(w.attempt), nullTime(w.at),
			null(w.reason), null(w.prov), null(w.app), b.now,
		})
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(string), b[0].(string)) })
	return b.each(ctx, rows, earlyColumns, earlyTypes, "INSERT INTO early ("+earlyColumns+") SELECT "+earlyColumns+
		" FROM r WHERE true ON CONFLICT DO NOTHING")
}

// applyEarly applies the early updates of this batch's messages, and the updates of this batch
// whose messages another recorder has stored meanwhile. It runs after the commit: of two
// recorders that store a message and an update of it at once neither sees the other's, but the
// later one to commit sees both here.
func (db *DB) applyEarly(ctx context.Context, items []*item, now time.Time) error {
	waiting, err := db.readEarly(ctx, db.Write, wireIDsIn(items))
	if err != nil || len(waiting) == 0 {
		return err
	}
	err = db.transact(ctx, func(tx *sql.Tx) error {
		return newBatch(db, tx, now).applyEarly(ctx, wireIDsOf(waiting))
	})
	if err != nil {
		return fmt.Errorf("applying early events: %w", err)
	}
	return nil
}

// wireIDsIn are the messages of a batch that early updates may be about: the new ones, and all
// that are updated. An update that is applied may have been stored as an early one when its
// batch was recorded before, by a process that died or lost the database after that commit.
func wireIDsIn(items []*item) (ids []wireID) {
	for _, it := range items {
		if it.arrival != nil && it.handed == nil {
			ids = append(ids, it.arrival.wireID)
		}
		for _, w := range it.updates {
			ids = append(ids, w.wireID)
		}
	}
	slices.SortFunc(ids, wireID.compare)
	return slices.Compact(ids)
}

// readEarly reads the early updates of transmissions.
func (db *DB) readEarly(ctx context.Context, q querier, ids []wireID) (updates []*update, err error) {
	rows := make([][]any, len(ids))
	for i, w := range ids {
		rows[i] = []any{w.id, string(w.direction)}
	}
	for part := range db.chunks(rows) {
		with, args := db.with("r", "id, direction", []Type{Text, Text}, part)
		err := db.query(ctx, q, func(rows *sql.Rows) error {
			w := new(update)
			updates = append(updates, w)
			err := rows.Scan(&w.event, &w.id, &w.direction, &w.backend, &w.progress, &w.attempt, scanTime{&w.at},
				scanNull[string]{&w.reason}, scanNull[string]{&w.prov}, scanNull[string]{&w.app})
			if err != nil {
				return err
			}
			return checkProgress(w.progress)
		}, with+`SELECT e.event_id, e.id, e.direction, e.backend_id, e.progress, e.attempt, e.date, e.reason, e.provider_id, e.application
			FROM r JOIN early e ON e.id = r.id AND e.direction = r.direction`, args...)
		if err != nil {
			return nil, fmt.Errorf("reading early events: %w", err)
		}
	}
	return updates, nil
}

// applyEarly applies the early updates of the transmissions that are stored by now.
func (b *batch) applyEarly(ctx context.Context, ids []wireID) error {
	known, err := b.lock(ctx, ids, nil)
	if err != nil || len(known) == 0 {
		return err
	}
	updates, err := b.takeEarly(ctx, known)
	if err != nil {
		return err
	}
	for _, w := range updates {
		b.updates[w.wireID] = append(b.updates[w.wireID], w)
	}
	return b.update(ctx, known)
}

// takeEarly deletes the early updates of known transmissions and returns those that no other
// recorder took first.
func (b *batch) takeEarly(ctx context.Context, known []*transmission) (taken []*update, err error) {
	var ids []wireID
	for _, t := range known {
		ids = append(ids, t.wireID)
	}
	updates, err := b.db.readEarly(ctx, b.tx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	byEvent := map[string]*update{}
	var rows [][]any
	for _, w := range updates {
		if slices.ContainsFunc(known, w.matches) {
			byEvent[w.event] = w
			rows = append(rows, []any{w.event})
		}
	}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", "event_id", []Type{Text}, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			taken = append(taken, byEvent[id])
			return err
		}, with+"DELETE FROM early WHERE event_id IN (SELECT event_id FROM r) RETURNING event_id", args...)
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(taken, compareUpdates)
	return taken, nil
}
