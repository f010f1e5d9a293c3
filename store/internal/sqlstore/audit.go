package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"switchboard/store"
)

// stuckMax is how many stuck messages an audit names unless it is told.
const stuckMax = 1000

// Audit counts, and names what is stuck.
func (db *DB) Audit(ctx context.Context, l store.AuditLimits) (*store.Audit, error) {
	a := new(store.Audit)
	if err := db.count(ctx, a, l.Since); err != nil {
		return nil, fmt.Errorf("auditing: counting: %w", err)
	}
	if err := db.stuck(ctx, a, l); err != nil {
		return nil, fmt.Errorf("auditing: finding what is stuck: %w", err)
	}
	if err := db.row(ctx, db.Read, "SELECT count(*) FROM early").Scan(&a.Orphan); err != nil {
		return nil, fmt.Errorf("auditing: counting early events: %w", err)
	}
	return a, nil
}

func (db *DB) count(ctx context.Context, a *store.Audit, since time.Time) error {
	w := new(where)
	db.conditionsOfTime(w, &store.Filter{Since: since})
	return db.query(ctx, db.Read, func(rows *sql.Rows) error {
		var c store.Count
		err := rows.Scan(&c.Backend, orNull[string]{&c.Application}, &c.Direction, &c.Status, &c.N)
		a.Counts = append(a.Counts, c)
		return err
	}, `SELECT b.name, g.application, g.direction, g.status, g.n FROM (
		SELECT t.backend_id, t.application, t.direction, t.status, count(*) AS n
		FROM transmission t`+w.sql()+` GROUP BY t.backend_id, t.application, t.direction, t.status) g
		JOIN backend b ON b.id = g.backend_id ORDER BY b.name, g.direction, g.application, g.status`, w.args...)
}

// stuck names what should have moved. What a broadcast has still to hand over
// waits for its time, its rate or a person, and is not stuck.
func (db *DB) stuck(ctx context.Context, a *store.Audit, l store.AuditLimits) error {
	most := l.MaxStuck
	if most <= 0 {
		most = stuckMax
	}
	return db.query(ctx, db.Read, func(rows *sql.Rows) error {
		r, err := scanRecord(rows)
		a.Stuck = append(a.Stuck, r)
		return err
	}, "SELECT "+recordColumns+recordTables+` WHERE t.status IN ('Q', 'P') AND t.updated < $1
		AND NOT (t.status = 'Q' AND t.broadcast_id IS NOT NULL AND t.broadcast_id IN (SELECT broadcast_id FROM broadcast_batch))
		ORDER BY t.updated, t.id`+limit(most), db.Dialect.Time(time.Now().Add(-l.Stuck)))
}
