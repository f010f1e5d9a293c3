package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"switchboard/store"
)

var _ store.Finder = (*DB)(nil)

const pageSize = 500

const recordColumns = `t.id, t.message_id, t.direction, t.status, t.progress, t.reason, b.name, c.identity, m.own_address,
	t.application, coalesce(t.text, m.text), m.session_event, m.in_response_to, t.provider_id, t.broadcast_id, t.attempt,
	t.date, t.updated, t.sent, t.delivered`

const recordTables = ` FROM transmission t
	JOIN connection c ON c.id = t.connection_id
	JOIN backend b ON b.id = t.backend_id
	LEFT JOIN message m ON m.id = t.message_id AND m.direction = t.direction AND m.month = t.month`

// scanRecord reads recordColumns, and the columns after them into more.
func scanRecord(rows *sql.Rows, more ...any) (r store.Record, err error) {
	var progress store.Progress
	err = rows.Scan(append([]any{
		&r.ID, &r.MessageID, &r.Direction, &r.Status, &progress,
		scanNull[string]{&r.Reason},
		&r.Backend, &r.Address,
		scanNull[string]{&r.OwnAddress},
		scanNull[string]{&r.Application},
		scanNull[string]{&r.Text},
		scanNull[string]{&r.SessionEvent},
		scanNull[string]{&r.InResponseTo},
		scanNull[string]{&r.ProviderID},
		scanNull[int64]{&r.Broadcast},
		&r.Attempts,
		scanTime{&r.Date},
		scanTime{&r.Updated},
		scanTime{&r.Sent},
		scanTime{&r.Delivered},
	}, more...)...)
	r.Progress = progress.String()
	return r, err
}

// where is a WHERE clause with its parameters.
type where struct {
	conditions []string
	args       []any
}

// and adds a condition; each ? in it is a parameter.
func (w *where) and(condition string, args ...any) {
	for _, arg := range args {
		w.args = append(w.args, arg)
		condition = strings.Replace(condition, "?", param(len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

func (w *where) clone() *where {
	return &where{append([]string(nil), w.conditions...), append([]any(nil), w.args...)}
}

// Messages implements store.Finder.
func (db *DB) Messages(ctx context.Context, f store.Filter) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		streams, err := db.streams(ctx, f)
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		n := 0
		for r, err := range merge(streams) {
			if !yield(r, err) || err != nil {
				return
			}
			if n++; n == f.Limit {
				return
			}
		}
	}
}

// streams are the listings that together have all records: one, or one for each connection of
// an address, so that each is in the order of an index.
func (db *DB) streams(ctx context.Context, f store.Filter) ([]iter.Seq2[store.Record, error], error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	w := db.conditions(&f)
	if f.Address == "" {
		return []iter.Seq2[store.Record, error]{db.pages(ctx, w, f)}, nil
	}
	connections, err := db.connectionsOf(ctx, f.Address)
	if err != nil {
		return nil, err
	}
	streams := make([]iter.Seq2[store.Record, error], len(connections))
	for i, id := range connections {
		one := w.clone()
		one.and("t.connection_id = ?", id)
		streams[i] = db.pages(ctx, one, f)
	}
	return streams, nil
}

// maxConnections bounds the backends on which an address is looked up.
const maxConnections = 100

func (db *DB) connectionsOf(ctx context.Context, address string) (ids []int64, err error) {
	address = store.Printable(address)
	_, countries, err := db.countries(ctx, db.Read)
	if err != nil {
		return nil, fmt.Errorf("looking up address: %w", err)
	}
	either, args := []string{"c.identity = $1"}, []any{address}
	for _, country := range slices.Compact(slices.Sorted(maps.Values(countries))) {
		args = append(args, db.numbers.normal(country, address), country)
		either = append(either, "c.normal = "+param(len(args)-1)+" AND b.country = "+param(len(args)))
	}
	err = db.query(ctx, db.Read, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT c.id FROM connection c JOIN backend b ON b.id = c.backend_id WHERE "+strings.Join(either, " OR ")+
		" ORDER BY c.id"+limit(maxConnections), args...)
	if err != nil {
		return nil, fmt.Errorf("looking up address: %w", err)
	}
	return ids, nil
}

// conditions is a filter as SQL. The states are literals: a parameter would not match a
// partial index.
func (db *DB) conditions(f *store.Filter) *where {
	w := new(where)
	if f.Status != "" {
		w.and("t.status = '" + string(f.Status) + "'")
	}
	if f.Status == store.StatusProcessed && f.Direction == "" {
		w.and("t.direction = 'I'") // only these can be R, and they have an index
	}
	if f.Direction != "" {
		w.and("t.direction = '" + string(f.Direction) + "'")
	}
	if f.Backend != "" {
		w.and("t.backend_id = (SELECT id FROM backend WHERE name = ?)", store.Printable(f.Backend))
	}
	if f.Application != "" {
		w.and("t.application = ?", store.Printable(f.Application))
	}
	if f.Broadcast != 0 {
		// All transmissions of a broadcast have its date, which has an index.
		w.and("t.broadcast_id = ? AND t.date = (SELECT created FROM broadcast WHERE id = ?)", f.Broadcast, f.Broadcast)
	}
	if f.Text != "" {
		pattern := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(store.Printable(f.Text)))
		w.and(`lower(coalesce(t.text, m.text)) LIKE ? ESCAPE '\'`, "%"+pattern+"%")
	}
	db.conditionsOfTime(w, f)
	return w
}

func (db *DB) conditionsOfTime(w *where, f *store.Filter) {
	if !f.Since.IsZero() {
		w.and("t.date >= ?", db.Dialect.Time(f.Since))
		w.and("(t.month = 0 OR t.month >= ?)", monthOf(f.Since))
	}
	if !f.Until.IsZero() {
		w.and("t.date < ?", db.Dialect.Time(f.Until))
		w.and("(t.month = 0 OR t.month <= ?)", monthOf(f.Until))
	}
}

// pages streams a listing, newest first.
func (db *DB) pages(ctx context.Context, w *where, f store.Filter) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		cursor := f.Cursor
		size := pageSize
		if f.Limit > 0 {
			size = min(size, f.Limit)
		}
		for {
			page, err := db.page(ctx, w.clone(), cursor, size)
			if err != nil {
				yield(store.Record{}, fmt.Errorf("listing messages: %w", err))
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			if len(page) < size {
				return
			}
			cursor = page[len(page)-1].Cursor()
		}
	}
}

func (db *DB) page(ctx context.Context, w *where, cursor string, size int) (page []store.Record, err error) {
	if cursor != "" {
		date, id, err := store.ParseCursor(cursor)
		if err != nil {
			return nil, err
		}
		at := db.Dialect.Time(date)
		w.and("t.date <= ?", at)
		w.and("(t.date, t.id) < (?, ?)", at, id)
	}
	err = db.query(ctx, db.Read, func(rows *sql.Rows) error {
		r, err := scanRecord(rows)
		page = append(page, r)
		return err
	}, "SELECT "+recordColumns+recordTables+w.sql()+" ORDER BY t.date DESC, t.id DESC"+limit(size), w.args...)
	return page, err
}

// limit is a literal: with a parameter the planner would read the whole table.
func limit(n int) string { return " LIMIT " + strconv.Itoa(n) }

// merge joins listings that are each sorted newest first.
func merge(streams []iter.Seq2[store.Record, error]) iter.Seq2[store.Record, error] {
	if len(streams) == 1 {
		return streams[0]
	}
	return func(yield func(store.Record, error) bool) {
		var heads []head
		for _, stream := range streams {
			next, stop := iter.Pull2(stream)
			defer stop()
			heads = append(heads, head{next: next})
		}
		for {
			newest := -1
			for i := range heads {
				heads[i].fill()
				if heads[i].ok && (newest < 0 || heads[i].before(&heads[newest])) {
					newest = i
				}
			}
			if newest < 0 {
				return
			}
			h := &heads[newest]
			if h.full = false; !yield(h.record, h.err) || h.err != nil {
				return
			}
		}
	}
}

// head is the next record of a listing.
type head struct {
	next   func() (store.Record, error, bool)
	record store.Record
	err    error
	ok     bool
	full   bool
}

func (h *head) fill() {
	if !h.full {
		h.record, h.err, h.ok = h.next()
		h.full = true
	}
}

// before sorts errors first: nothing after them is reliable.
func (h *head) before(o *head) bool {
	if h.err != nil || o.err != nil {
		return h.err != nil
	}
	if !h.record.Date.Equal(o.record.Date) {
		return h.record.Date.After(o.record.Date)
	}
	return h.record.ID > o.record.ID
}
