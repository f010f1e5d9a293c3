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

const transmissionColumns = `id, direction, backend_id, month, message_id, connection_id, broadcast_id,
	status, progress, attempt, reason, provider_id, application, date, updated, sent, delivered`

var transmissionTypes = []Type{
	Text, Text, Int, Int, Text, Int, Int,
	Text, Int, Int, Text, Text, Text, Time, Time, Time, Time,
}

func (t *transmission) row(now time.Time) []any {
	return []any{
		t.id, string(t.direction), t.backend, t.month, t.messageID, t.connection, null(t.broadcast),
		string(t.Progress.Status()), int64(t.Progress), int64(t.Attempt), null(t.reason), null(t.provider), null(t.app),
		nullTime(t.date), now, nullTime(t.sent), nullTime(t.delivered),
	}
}

func (t *transmission) compare(o *transmission) int {
	return cmp.Or(t.wireID.compare(o.wireID), cmp.Compare(t.backend, o.backend), cmp.Compare(t.month, o.month))
}

// transmissionKey is the primary key of a transmission.
type transmissionKey struct {
	wireID
	backend int64
	month   int64
}

// insertMessages stores the new messages of the batch with the batch's updates applied.
// Messages that are stored already become updates.
func (b *batch) insertMessages(ctx context.Context, items []*item) error {
	arrived := map[transmissionKey]*arrival{}
	var rows [][]any
	var folded []transmission // with their updates applied
	for _, it := range items {
		a := it.arrival
		if a == nil || it.handed != nil {
			continue
		}
		at := transmissionKey{a.wireID, a.backend, a.month}
		if arrived[at] != nil {
			b.updates[a.wireID] = append(b.updates[a.wireID], a.asUpdate())
			continue
		}
		arrived[at] = a
	}
	for _, a := range arrived {
		t := a.transmission
		for _, w := range b.updates[t.wireID] {
			if w.matches(&t) {
				t.apply(w)
			}
		}
		folded = append(folded, t)
	}
	slices.SortFunc(folded, func(a, b transmission) int { return a.compare(&b) })
	for i := range folded {
		rows = append(rows, folded[i].row(b.now))
	}
	inserted, err := b.insertTransmissions(ctx, rows)
	if err != nil {
		return err
	}
	for i := range folded {
		t := &folded[i]
		at := transmissionKey{t.wireID, t.backend, t.month}
		if !inserted[at] {
			b.updates[t.wireID] = append(b.updates[t.wireID], arrived[at].asUpdate())
			continue
		}
		for _, w := range b.updates[t.wireID] {
			w.applied = w.applied || w.matches(t)
		}
		b.added(arrived[at], t)
	}
	return nil
}

func (b *batch) insertTransmissions(ctx context.Context, rows [][]any) (map[transmissionKey]bool, error) {
	inserted := map[transmissionKey]bool{}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", transmissionColumns, transmissionTypes, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var at transmissionKey
			err := rows.Scan(&at.id, &at.direction, &at.backend, &at.month)
			inserted[at] = true
			return err
		}, with+"INSERT INTO transmission ("+transmissionColumns+") SELECT "+transmissionColumns+
			" FROM r WHERE true ON CONFLICT DO NOTHING RETURNING id, direction, backend_id, month", args...)
		if err != nil {
			return nil, err
		}
	}
	return inserted, nil
}

// updateKnown applies updates to the transmissions that were stored before the batch.
func (b *batch) updateKnown(ctx context.Context) error {
	updates := b.unapplied()
	if len(updates) == 0 {
		return nil
	}
	known, err := b.lock(ctx, wireIDsOf(updates), likelyMonths(updates))
	if err != nil {
		return err
	}
	changed := b.applyTo(known)
	// The rest may be in any month.
	if rest := b.unapplied(); len(rest) > 0 {
		known, err := b.lock(ctx, wireIDsOf(rest), nil)
		if err != nil {
			return err
		}
		changed = append(changed, b.applyTo(known)...)
	}
	return b.updateTransmissions(ctx, changed)
}

func wireIDsOf(updates []*update) (ids []wireID) {
	for _, w := range updates {
		ids = append(ids, w.wireID)
	}
	slices.SortFunc(ids, wireID.compare)
	return slices.Compact(ids)
}

// likelyMonths are the months that nearly always have the updates' transmissions: their own
// and the one before. It is nil when these are too many.
func likelyMonths(updates []*update) (months []int64) {
	const maxLikely = 4
	for _, w := range updates {
		month := w.month
		candidates := []int64{month}
		if month == undated {
			month = monthOf(w.at)
			candidates = []int64{month, addMonths(month, -1)}
		}
		for _, m := range candidates {
			if !slices.Contains(months, m) {
				months = append(months, m)
			}
		}
		if len(months) > maxLikely {
			return nil
		}
	}
	for len(months) < maxLikely { // one statement for any number
		months = append(months, months[0])
	}
	return months
}

// lock reads the transmissions of ids and locks them until the transaction ends.
func (b *batch) lock(ctx context.Context, ids []wireID, months []int64) (found []*transmission, err error) {
	rows := make([][]any, len(ids))
	for i, w := range ids {
		rows[i] = []any{w.id, string(w.direction)}
	}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", "id, direction", []Type{Text, Text}, part)
		among := ""
		for i, month := range months {
			among += [...]string{" AND t.month IN (", ", "}[min(i, 1)] + param(len(args)+1)
			args = append(args, month)
		}
		if among != "" {
			among += ")"
		}
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			t, err := scanTransmission(rows)
			found = append(found, t)
			return err
		}, with+"SELECT "+transmissionFields+" FROM r JOIN transmission t ON t.id = r.id AND t.direction = r.direction"+
			among+" ORDER BY t.id, t.direction, t.backend_id, t.month"+b.db.Dialect.ForUpdate("t"), args...)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

const transmissionFields = `t.id, t.direction, t.backend_id, t.month, t.message_id, t.connection_id, t.broadcast_id,
	t.progress, t.attempt, t.reason, t.provider_id, t.application, t.date, t.sent, t.delivered`

func scanTransmission(rows *sql.Rows) (*transmission, error) {
	t := new(transmission)
	err := rows.Scan(&t.id, &t.direction, &t.backend, &t.month, &t.messageID, &t.connection, scanNull[int64]{&t.broadcast},
		&t.Progress, &t.Attempt, scanNull[string]{&t.reason}, scanNull[string]{&t.provider}, scanNull[string]{&t.app},
		scanTime{&t.date}, scanTime{&t.sent}, scanTime{&t.delivered})
	if err == nil {
		err = checkProgress(t.Progress)
	}
	return t, err
}

// checkProgress fails for a progress that only a newer program knows.
func checkProgress(f store.Progress) error {
	if f.Known() {
		return nil
	}
	return fmt.Errorf("%w: what it knows of a transmission has the number %d", store.ErrSchemaNewer, int(f))
}

// applyTo applies the unapplied updates and returns the changed transmissions. Those of a
// broadcast that become E are retried.
func (b *batch) applyTo(known []*transmission) (changed []*transmission) {
	for _, t := range known {
		was := t.AttemptProgress
		any := false
		for _, w := range b.updates[t.wireID] {
			// An update without a backend may be about several transmissions.
			if !w.matches(t) || w.applied && w.backend != 0 {
				continue
			}
			w.applied = true
			any = t.apply(w) || any
		}
		if any {
			changed = append(changed, t)
			b.changed(t, was.Progress.Status())
		}
		if t.broadcast != 0 && t.AttemptProgress != was && t.Progress.Retried() {
			b.retries = append(b.retries, t)
		}
	}
	return changed
}

const updateColumns = "id, direction, backend_id, month, status, progress, attempt, reason, provider_id, application, updated, sent, delivered"

var updateTypes = []Type{Text, Text, Int, Int, Text, Int, Int, Text, Text, Text, Time, Time, Time}

func (b *batch) updateTransmissions(ctx context.Context, changed []*transmission) error {
	rows := make([][]any, len(changed))
	for i, t := range changed {
		rows[i] = []any{
			t.id, string(t.direction), t.backend, t.month, string(t.Progress.Status()), int64(t.Progress), int64(t.Attempt),
			null(t.reason), null(t.provider), null(t.app), b.now, nullTime(t.sent), nullTime(t.delivered),
		}
	}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", updateColumns, updateTypes, part)
		_, err := b.db.exec(ctx, b.tx, with+`UPDATE transmission AS t SET status = r.status, progress = r.progress, attempt = r.attempt,
			reason = r.reason, provider_id = r.provider_id, application = r.application, updated = r.updated,
			sent = r.sent, delivered = r.delivered
			FROM r WHERE t.id = r.id AND t.direction = r.direction AND t.backend_id = r.backend_id AND t.month = r.month`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// apply applies an update. The result of several does not depend on their order.
func (t *transmission) apply(w *update) (changed bool) {
	was := *t
	next := t.Advance(w.attempt, w.progress)
	if next.Attempt > t.Attempt {
		t.provider = "" // the former attempt's, which its events keep
	}
	former := w.attempt > 0 && w.attempt < t.Attempt
	switch {
	case next.Compare(t.AttemptProgress) > 0:
		t.AttemptProgress, t.reason = next, ""
		if next.Progress == w.progress {
			t.reason = w.reason
		}
	case w.progress == t.Progress && !former:
		t.reason = lesserText(t.reason, w.reason)
	}
	switch w.progress {
	case store.Pending, store.Sent, store.Undelivered:
		t.sent = earliest(t.sent, w.at)
	case store.Delivered:
		t.sent = earliest(t.sent, w.at)
		t.delivered = earliest(t.delivered, w.at)
	}
	if !former {
		t.provider = lesserText(t.provider, w.prov)
	}
	t.app = lesserText(t.app, w.app)
	return *t != was
}

// matches reports whether w is about t.
func (w *update) matches(t *transmission) bool {
	return w.wireID == t.wireID && (w.backend == 0 || w.backend == t.backend)
}

// asUpdate is what a message says about its transmission when that is stored already.
func (a *arrival) asUpdate() *update {
	return &update{
		wireID: a.wireID, event: "", backend: a.transmission.backend, month: a.month,
		progress: a.Progress, attempt: a.Attempt, at: a.date, prov: a.provider, app: a.app, reason: a.reason,
	}
}
