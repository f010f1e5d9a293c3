package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchboard/store"
)

const defaultMaxStuck = 1000

// Audit implements store.Finder.
func (db *DB) Audit(ctx context.Context, l store.AuditLimits) (a *store.Audit, err error) {
	a = new(store.Audit)
	if l.MaxStuck <= 0 {
		l.MaxStuck = defaultMaxStuck
	}
	all := new(where)
	db.conditionsOfTime(all, &store.Filter{Since: l.Since})
	if a.Counts, err = db.counts(ctx, all); err != nil {
		return nil, fmt.Errorf("auditing: counting: %w", err)
	}
	if a.Stuck, a.StuckCounts, err = db.readOverdue(ctx, db.stuck(l), "t.updated", l.MaxStuck); err != nil {
		return nil, fmt.Errorf("auditing: finding what is stuck: %w", err)
	}
	if w := db.unreported(a.Counts, l); w != nil {
		if a.Unreported, a.UnreportedCounts, err = db.readOverdue(ctx, w, "t.sent", l.MaxStuck); err != nil {
			return nil, fmt.Errorf("auditing: finding what was not reported on: %w", err)
		}
	}
	if err := db.orphans(ctx, a, l); err != nil {
		return nil, fmt.Errorf("auditing: finding events without a message: %w", err)
	}
	return a, nil
}

// orphans reads the early updates. The update of a replied message is of a reply, which is
// no event: it has the reply's id.
func (db *DB) orphans(ctx context.Context, a *store.Audit, l store.AuditLimits) error {
	w := new(where)
	if !l.Since.IsZero() {
		w.and("y.date >= ?", db.Dialect.Time(l.Since))
	}
	err := db.row(ctx, db.Read, "SELECT count(*) FROM early y"+w.sql(), w.args...).Scan(&a.Orphan)
	if err != nil || a.Orphan == 0 {
		return err
	}
	return db.query(ctx, db.Read, func(rows *sql.Rows) error {
		var e store.EventRecord
		var progress store.Progress
		err := rows.Scan(&e.ID, &e.MessageID, &e.Direction, &progress, scanNull[string]{&e.Reason}, scanNull[string]{&e.ProviderID},
			scanNull[string]{&e.Backend}, scanNull[string]{&e.Application}, scanTime{&e.Date}, scanTime{&e.Recorded})
		e.Type = progress.String()
		a.Orphans = append(a.Orphans, e)
		return err
	}, `SELECT y.event_id, y.id, y.direction, y.progress, y.reason, y.provider_id, b.name, y.application, y.date, y.recorded
		FROM early y LEFT JOIN backend b ON b.id = y.backend_id`+w.sql()+" ORDER BY y.date, y.event_id"+limit(l.MaxStuck), w.args...)
}

// counts counts transmissions by transport, application, direction and state.
func (db *DB) counts(ctx context.Context, w *where) (counts []store.Count, err error) {
	err = db.query(ctx, db.Read, func(rows *sql.Rows) error {
		var c store.Count
		err := rows.Scan(&c.Backend, scanNull[string]{&c.Application}, &c.Direction, &c.Status, &c.N)
		counts = append(counts, c)
		return err
	}, `SELECT b.name, g.application, g.direction, g.status, g.n FROM (
		SELECT t.backend_id, t.application, t.direction, t.status, count(*) AS n
		FROM transmission t`+w.sql()+` GROUP BY t.backend_id, t.application, t.direction, t.status) g
		JOIN backend b ON b.id = g.backend_id ORDER BY b.name, g.direction, g.application, g.status`, w.args...)
	return counts, err
}

// readOverdue reads the oldest records that w selects, at most most, and counts all of them.
func (db *DB) readOverdue(ctx context.Context, w *where, since string, most int) (named []store.Record, counts []store.Count, err error) {
	err = db.query(ctx, db.Read, func(rows *sql.Rows) error {
		r, err := scanRecord(rows)
		named = append(named, r)
		return err
	}, "SELECT "+recordColumns+recordTables+w.sql()+" ORDER BY "+since+", t.id"+limit(most+1), w.args...)
	if err != nil || len(named) == 0 {
		return nil, nil, err
	}
	if len(named) > most {
		counts, err = db.counts(ctx, w)
		return named[:most], counts, err
	}
	return named, tally(named), nil
}

// tally counts records like counts.
func tally(records []store.Record) (counts []store.Count) {
	for _, r := range records {
		c := store.Count{Backend: r.Backend, Application: r.Application, Direction: r.Direction, Status: r.Status}
		i := slices.IndexFunc(counts, func(o store.Count) bool { o.N = 0; return o == c })
		if i < 0 {
			i, counts = len(counts), append(counts, c)
		}
		counts[i].N++
	}
	return counts
}

// stuck selects messages that should have changed. What waits in a broadcast is not stuck.
func (db *DB) stuck(l store.AuditLimits) *where {
	w := new(where)
	db.conditionsOfTime(w, &store.Filter{Since: l.Since})
	w.and("t.status IN ('Q', 'P')")
	w.and("t.updated < ?", db.Dialect.Time(time.Now().Add(-l.Stuck)))
	w.and(`NOT (t.status = 'Q' AND t.broadcast_id IS NOT NULL AND t.broadcast_id IN (SELECT broadcast_id FROM broadcast_batch))`)
	return w
}

// unreported selects messages that were sent and not reported on, of the transports that
// report: those with a delivered message. It is nil where there are none.
func (db *DB) unreported(counts []store.Count, l store.AuditLimits) *where {
	w, reporting := new(where), map[string]bool{}
	var list strings.Builder
	for _, c := range counts {
		if c.Status == store.StatusDelivered && !reporting[c.Backend] {
			reporting[c.Backend] = true
			w.args = append(w.args, c.Backend)
			list.WriteString(", " + param(len(w.args)))
		}
	}
	if l.Unreported <= 0 || len(reporting) == 0 {
		return nil
	}
	w.conditions = []string{
		"t.backend_id IN (SELECT id FROM backend WHERE name IN (" + list.String()[2:] + "))", "t.status = 'S'", "t.direction = 'O'",
	}
	w.and("t.sent < ?", db.Dialect.Time(time.Now().Add(-l.Unreported)))
	db.conditionsOfTime(w, &store.Filter{Since: l.Since})
	return w
}
