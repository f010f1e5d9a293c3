package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"switchboard/store"
)

var _ store.Recorder = (*DB)(nil)

// Record implements store.Recorder.
func (db *DB) Record(ctx context.Context, batch []store.Envelope) ([]store.Rejected, error) {
	now := utc(time.Now())
	items, rejected := newItems(batch, now)
	if err := db.resolveIDs(ctx, items); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if err := db.ensureMonths(ctx, monthsIn(items)); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	bad, err := db.write(ctx, items, now)
	if err == nil {
		rejected = append(rejected, bad...)
		bad, err = db.writeUnknown(ctx, items, now)
	}
	if err == nil {
		err = db.applyEarly(ctx, items, now)
	}
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	rejected = append(rejected, bad...)
	slices.SortFunc(rejected, func(a, b store.Rejected) int { return cmp.Compare(a.Index, b.Index) })
	return rejected, nil
}

func newItems(batch []store.Envelope, now time.Time) (items []*item, rejected []store.Rejected) {
	items = make([]*item, 0, len(batch))
	for i := range batch {
		it, err := newItem(i, &batch[i], now)
		if err != nil {
			rejected = append(rejected, store.Rejected{Index: i, Err: err})
			continue
		}
		items = append(items, it)
	}
	return items, rejected
}

// writeUnknown records the messages of broadcasts that are not in this database (another one
// sends them, or Retention has deleted them) as ordinary messages.
func (db *DB) writeUnknown(ctx context.Context, items []*item, now time.Time) ([]store.Rejected, error) {
	var unknown []*item
	for _, it := range items {
		if it.handed != nil && !it.handed.applied {
			it.handed = nil
			unknown = append(unknown, it)
		}
	}
	if len(unknown) == 0 {
		return nil, nil
	}
	if err := db.resolveIDs(ctx, unknown); err != nil {
		return nil, err
	}
	return db.write(ctx, unknown, now)
}

// resolveIDs sets the ids of the items' backends and connections.
func (db *DB) resolveIDs(ctx context.Context, items []*item) error {
	var backends []string
	for _, it := range items {
		if it.backend != "" {
			backends = append(backends, it.backend)
		}
	}
	ids, err := db.backendIDs(ctx, backends)
	if err != nil {
		return err
	}
	var connections []connection
	for _, it := range items {
		it.setBackend(ids[it.backend])
		if a := it.arrival; a != nil && it.handed == nil {
			connections = append(connections, connection{a.backend, a.address})
		}
	}
	numbers, err := db.connectionIDs(ctx, connections)
	if err != nil {
		return err
	}
	for _, it := range items {
		if a := it.arrival; a != nil {
			a.connection = numbers[connection{a.backend, a.address}]
		}
	}
	return nil
}

func (it *item) setBackend(id int64) {
	if it.arrival != nil {
		it.arrival.backend = id
		if it.handed != nil {
			it.handed.backend = id
		}
		return // the message that a reply answers may be on another backend
	}
	it.event.backendID = id
	for _, w := range it.updates {
		w.backend = id
	}
}

func monthsIn(items []*item) (months []int64) {
	for _, it := range items {
		var month int64
		if it.arrival != nil {
			month = it.arrival.month
		} else {
			month = it.event.month
		}
		if !slices.Contains(months, month) {
			months = append(months, month)
		}
	}
	return months
}

// write records items in one transaction. When values make it fail, it splits them in halves
// until the bad item is alone.
func (db *DB) write(ctx context.Context, items []*item, now time.Time) ([]store.Rejected, error) {
	if len(items) == 0 {
		return nil, nil
	}
	err := db.writeOnce(ctx, items, now)
	if err == nil || !db.Dialect.BadData(err) {
		return nil, err
	}
	if len(items) == 1 {
		return []store.Rejected{{Index: items[0].index, Err: err}}, nil
	}
	half := len(items) / 2
	first, err := db.write(ctx, items[:half], now)
	if err != nil {
		return nil, err
	}
	second, err := db.write(ctx, items[half:], now)
	return append(first, second...), err
}

func (db *DB) writeOnce(ctx context.Context, items []*item, now time.Time) error {
	work := func(tx *sql.Tx) error {
		return newBatch(db, tx, now).run(ctx, items)
	}
	err := db.transact(ctx, work)
	if err == nil || !db.Dialect.NoMonth(err) {
		return err
	}
	// Retention dropped a month that was in the cache.
	db.months.clear()
	if err := db.ensureMonths(ctx, monthsIn(items)); err != nil {
		return err
	}
	return db.transact(ctx, work)
}

// batch is one transaction of a recorder. Each locks rows in the same order (by table, then by
// id), so that two of them cannot deadlock.
type batch struct {
	db  *DB
	tx  *sql.Tx
	now time.Time

	updates map[wireID][]*update
	changes map[messageKey]*change
	retries []*transmission
}

func (b *batch) run(ctx context.Context, items []*item) error {
	inserted, err := b.insertEvents(ctx, items)
	if err != nil {
		return err
	}
	b.collect(items, inserted)
	if err := b.insertMessages(ctx, items); err != nil {
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
	return b.storeEarly(ctx)
}

// collect gathers the updates of the batch. Events that were recorded before are left out.
func (b *batch) collect(items []*item, inserted map[*event]bool) {
	for _, it := range items {
		if it.event != nil && !inserted[it.event] {
			continue
		}
		if it.handed != nil {
			it.handed.applied = false
			b.updates[it.handed.wireID] = append(b.updates[it.handed.wireID], it.handed)
		}
		for _, w := range it.updates {
			w.applied = false // a run of this transaction that was rolled back may have set it
			if it.arrival == nil {
				w.event = it.event.name
			}
			b.updates[w.wireID] = append(b.updates[w.wireID], w)
		}
	}
}

// unapplied returns the updates whose transmission was not found yet.
func (b *batch) unapplied() (updates []*update) {
	for _, list := range b.updates {
		for _, w := range list {
			if !w.applied {
				updates = append(updates, w)
			}
		}
	}
	slices.SortFunc(updates, compareUpdates)
	return updates
}

func compareUpdates(a, b *update) int {
	return cmp.Or(a.compare(b.wireID), cmp.Compare(a.event, b.event))
}

func (w wireID) compare(o wireID) int {
	return cmp.Or(cmp.Compare(w.id, o.id), cmp.Compare(w.direction, o.direction))
}
