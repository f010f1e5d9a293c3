package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

const earlyColumns = "event_id, id, direction, backend_id, fact, attempt, date, reason, provider_id, application, recorded"

var earlyTypes = []Type{Text, Text, Text, Int, Int, Int, Time, Text, Text, Text, Time}

// park keeps the words whose transmissions are not there, until they come.
func (b *batch) park(ctx context.Context) error {
	var rows [][]any
	for _, w := range b.unplaced() {
		if w.event == "" {
			continue // an arrival that Retention overtook
		}
		rows = append(rows, []any{
			w.event, w.id, string(w.direction), w.backend, int64(w.fact), int64(w.attempt), when(w.at),
			null(w.reason), null(w.prov), null(w.app), b.now,
		})
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(string), b[0].(string)) })
	return b.each(ctx, rows, earlyColumns, earlyTypes, "INSERT INTO early ("+earlyColumns+") SELECT "+earlyColumns+
		" FROM r WHERE true ON CONFLICT DO NOTHING")
}

// adopt lets the words count that waited for the messages of this batch, and
// those of this batch whose messages another recorder stored meanwhile. It
// runs after the batch is committed: of two recorders that store a message and
// a word about it at the same time, neither sees what the other has not
// committed, but the later of them to commit sees both here.
func (db *DB) adopt(ctx context.Context, items []*item, now time.Time) error {
	waiting, err := db.waiting(ctx, db.Write, wiresIn(items))
	if err != nil || len(waiting) == 0 {
		return err
	}
	err = db.transact(ctx, func(tx *sql.Tx) error {
		return newBatch(db, tx, now).adopt(ctx, wiresOf(waiting))
	})
	if err != nil {
		return fmt.Errorf("applying early events: %w", err)
	}
	return nil
}

// wiresIn are the messages of a batch that something may wait for: those that
// came, and those that were spoken of and not found.
func wiresIn(items []*item) (wires []wire) {
	for _, it := range items {
		if it.arrival != nil && it.handed == nil {
			wires = append(wires, it.arrival.wire)
		}
		for _, w := range it.words {
			if !w.placed {
				wires = append(wires, w.wire)
			}
		}
	}
	slices.SortFunc(wires, wire.compare)
	return slices.Compact(wires)
}

// waiting reads the words that wait for transmissions.
func (db *DB) waiting(ctx context.Context, q querier, wires []wire) (words []*word, err error) {
	rows := make([][]any, len(wires))
	for i, w := range wires {
		rows[i] = []any{w.id, string(w.direction)}
	}
	for part := range db.chunks(rows) {
		with, args := db.with("r", "id, direction", []Type{Text, Text}, part)
		err := db.query(ctx, q, func(rows *sql.Rows) error {
			w := new(word)
			words = append(words, w)
			err := rows.Scan(&w.event, &w.id, &w.direction, &w.backend, &w.fact, &w.attempt, moment{&w.at},
				orNull[string]{&w.reason}, orNull[string]{&w.prov}, orNull[string]{&w.app})
			if err != nil {
				return err
			}
			return checkFact(w.fact)
		}, with+`SELECT e.event_id, e.id, e.direction, e.backend_id, e.fact, e.attempt, e.date, e.reason, e.provider_id, e.application
			FROM r JOIN early e ON e.id = r.id AND e.direction = r.direction`, args...)
		if err != nil {
			return nil, fmt.Errorf("reading early events: %w", err)
		}
	}
	return words, nil
}

// adopt lets the words about wires count whose transmissions are there now.
func (b *batch) adopt(ctx context.Context, wires []wire) error {
	known, err := b.lock(ctx, wires, nil)
	if err != nil || len(known) == 0 {
		return err
	}
	words, err := b.take(ctx, known)
	if err != nil {
		return err
	}
	for _, w := range words {
		b.words[w.wire] = append(b.words[w.wire], w)
	}
	return b.update(ctx, known)
}

// take deletes the words about known transmissions and returns those that no
// other recorder took first.
func (b *batch) take(ctx context.Context, known []*transmission) (taken []*word, err error) {
	var wires []wire
	for _, t := range known {
		wires = append(wires, t.wire)
	}
	words, err := b.db.waiting(ctx, b.tx, slices.Compact(wires))
	if err != nil {
		return nil, err
	}
	byEvent := map[string]*word{}
	var rows [][]any
	for _, w := range words {
		if slices.ContainsFunc(known, w.about) {
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
	slices.SortFunc(taken, compareWords)
	return taken, nil
}
