package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"
)

// batch is one transaction of a recorder. Its steps lock rows in the same
// order in every batch (table after table, and in each by id), so that two
// batches wait for each other in one direction only.
type batch struct {
	db  *DB
	tx  *sql.Tx
	now time.Time

	words   map[wire][]*word
	changes map[messageKey]*change
	retries []*transmission
}

func (b *batch) run(ctx context.Context, items []*item) error {
	fresh, err := b.insertEvents(ctx, items)
	if err != nil {
		return err
	}
	b.collect(items, fresh)
	if err := b.insertArrivals(ctx, items); err != nil {
		return err
	}
	if err := b.updateKnown(ctx); err != nil {
		return err
	}
	if err := b.updateMessages(ctx); err != nil {
		return err
	}
	if err := b.scheduleRetries(ctx); err != nil {
		return err
	}
	return b.park(ctx)
}

// collect gathers what is said in this batch: of events only those that were
// never recorded before, so that each counts once.
func (b *batch) collect(items []*item, fresh map[string]bool) {
	for _, it := range items {
		if it.arrival == nil && !fresh[it.event.id] {
			continue
		}
		if it.handed != nil {
			it.handed.placed = false
			b.words[it.handed.wire] = append(b.words[it.handed.wire], it.handed)
		}
		if it.event != nil {
			delete(fresh, it.event.id) // the same event twice in one batch
		}
		for _, w := range it.words {
			w.placed = false // by a try of this transaction that was rolled back
			b.words[w.wire] = append(b.words[w.wire], w)
		}
	}
}

// unplaced are the words that found no transmission yet.
func (b *batch) unplaced() (words []*word) {
	for _, list := range b.words {
		for _, w := range list {
			if !w.placed {
				words = append(words, w)
			}
		}
	}
	slices.SortFunc(words, compareWords)
	return words
}

func compareWords(a, b *word) int {
	return cmp.Or(a.compare(b.wire), cmp.Compare(a.event, b.event))
}

func (w wire) compare(o wire) int {
	return cmp.Or(cmp.Compare(w.id, o.id), cmp.Compare(w.direction, o.direction))
}

var eventTypes = []Type{Text, Int, Text, Text, Int, Text, Text, Text, Text, Text, Time, Time, Text}

const eventColumns = "id, month, message_id, direction, backend_id, type, status, reason, provider_id, application, date, recorded, body"

func (e *event) row(now time.Time) []any {
	return []any{
		e.id, e.month, e.wire.id, string(e.direction), null(e.backendID), e.kind, null(e.status), null(e.reason),
		null(e.provider), null(e.app), when(e.date), now, null(e.body),
	}
}

// insertEvents stores events and says which of them are new.
func (b *batch) insertEvents(ctx context.Context, items []*item) (fresh map[string]bool, err error) {
	fresh = map[string]bool{}
	var rows [][]any
	for _, it := range items {
		if e := it.event; e != nil && !fresh[e.id] {
			fresh[e.id] = true
			rows = append(rows, e.row(b.now))
		}
	}
	clear(fresh)
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(string), b[0].(string)) })
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", eventColumns, eventTypes, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			fresh[id] = true
			return err
		}, with+"INSERT INTO event ("+eventColumns+") SELECT "+eventColumns+
			" FROM r WHERE true ON CONFLICT DO NOTHING RETURNING id", args...)
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}
