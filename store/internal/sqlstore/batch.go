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
func (b *batch) collect(items []*item, fresh map[*event]bool) {
	for _, it := range items {
		if it.event != nil && !fresh[it.event] {
			continue
		}
		if it.handed != nil {
			it.handed.placed = false
			b.words[it.handed.wire] = append(b.words[it.handed.wire], it.handed)
		}
		for _, w := range it.words {
			w.placed = false // by a try of this transaction that was rolled back
			if it.arrival == nil {
				w.event = it.event.name
			}
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
