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

// Record writes down a batch: see store.Recorder.
func (db *DB) Record(ctx context.Context, batch []store.Envelope) ([]store.Rejected, error) {
	now := utc(time.Now())
	items, rejected := newItems(batch, now)
	if err := db.nameItems(ctx, items); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if err := db.ensureMonths(ctx, monthsIn(items)); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	bad, err := db.write(ctx, items, now)
	if err == nil {
		rejected = append(rejected, bad...)
		bad, err = db.writeStrangers(ctx, items, now)
	}
	if err == nil {
		err = db.adopt(ctx, items, now)
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

// writeStrangers records the messages of broadcasts that another database
// sends, or that retention has dropped here: they are as any other's.
func (db *DB) writeStrangers(ctx context.Context, items []*item, now time.Time) ([]store.Rejected, error) {
	var strangers []*item
	for _, it := range items {
		if it.handed != nil && !it.handed.placed {
			it.handed = nil
			strangers = append(strangers, it)
		}
	}
	if len(strangers) == 0 {
		return nil, nil
	}
	if err := db.nameItems(ctx, strangers); err != nil {
		return nil, err
	}
	return db.write(ctx, strangers, now)
}

// nameItems finds the numbers of the items' backends and connections.
func (db *DB) nameItems(ctx context.Context, items []*item) error {
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
		return // what a reply says concerns another backend's message
	}
	it.event.backendID = id
	for _, w := range it.words {
		w.backend = id
	}
}

func monthsIn(items []*item) (months []int64) {
	for _, it := range items {
		month := int64(undated)
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

// write records items in one transaction. When that fails because of what is
// in them, it halves them until the bad one is alone.
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
	// Retention dropped a month that was known to be there.
	db.months.forget()
	if err := db.ensureMonths(ctx, monthsIn(items)); err != nil {
		return err
	}
	return db.transact(ctx, work)
}
