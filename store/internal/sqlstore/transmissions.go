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
	status, fact, attempt, reason, provider_id, application, date, updated, sent, delivered`

var transmissionTypes = []Type{
	Text, Text, Int, Int, Text, Int, Int,
	Text, Int, Int, Text, Text, Text, Time, Time, Time, Time,
}

func (t *transmission) row(now time.Time) []any {
	return []any{
		t.id, string(t.direction), t.backend, t.month, t.messageID, t.connection, null(t.broadcast),
		string(t.Fact.Status()), int64(t.Fact), int64(t.Attempt), null(t.reason), null(t.provider), null(t.app),
		when(t.date), now, when(t.sent), when(t.delivered),
	}
}

func (t *transmission) compare(o *transmission) int {
	return cmp.Or(t.wire.compare(o.wire), cmp.Compare(t.backend, o.backend), cmp.Compare(t.month, o.month))
}

// place is what makes a transmission different from all others.
type place struct {
	wire
	backend int64
	month   int64
}

// insertArrivals stores the messages of the batch that are new, already as
// what the batch says of them. Those that are there become words.
func (b *batch) insertArrivals(ctx context.Context, items []*item) error {
	arrivals := map[place]*arrival{}
	var rows [][]any
	var folded []transmission // as they are stored
	for _, it := range items {
		a := it.arrival
		if a == nil || it.handed != nil {
			continue
		}
		at := place{a.wire, a.backend, a.month}
		if arrivals[at] != nil {
			b.words[a.wire] = append(b.words[a.wire], a.again())
			continue
		}
		arrivals[at] = a
	}
	for _, a := range arrivals {
		t := a.transmission
		for _, w := range b.words[t.wire] {
			if w.about(&t) {
				t.apply(w)
			}
		}
		folded = append(folded, t)
	}
	slices.SortFunc(folded, func(a, b transmission) int { return a.compare(&b) })
	for i := range folded {
		rows = append(rows, folded[i].row(b.now))
	}
	fresh, err := b.insertTransmissions(ctx, rows)
	if err != nil {
		return err
	}
	for i := range folded {
		t := &folded[i]
		at := place{t.wire, t.backend, t.month}
		if !fresh[at] {
			b.words[t.wire] = append(b.words[t.wire], arrivals[at].again())
			continue
		}
		for _, w := range b.words[t.wire] {
			w.placed = w.placed || w.about(t)
		}
		b.arrived(arrivals[at], t)
	}
	return nil
}

func (b *batch) insertTransmissions(ctx context.Context, rows [][]any) (map[place]bool, error) {
	fresh := map[place]bool{}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", transmissionColumns, transmissionTypes, part)
		err := b.db.query(ctx, b.tx, func(rows *sql.Rows) error {
			var at place
			err := rows.Scan(&at.id, &at.direction, &at.backend, &at.month)
			fresh[at] = true
			return err
		}, with+"INSERT INTO transmission ("+transmissionColumns+") SELECT "+transmissionColumns+
			" FROM r WHERE true ON CONFLICT DO NOTHING RETURNING id, direction, backend_id, month", args...)
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// updateKnown lets the words count that are about transmissions which were
// there before the batch.
func (b *batch) updateKnown(ctx context.Context) error {
	words := b.unplaced()
	if len(words) == 0 {
		return nil
	}
	known, err := b.lock(ctx, wiresOf(words), likelyMonths(words))
	if err != nil {
		return err
	}
	changed := b.applyTo(known)
	// What is not in the months where it should be may be in any.
	if rest := b.unplaced(); len(rest) > 0 {
		known, err := b.lock(ctx, wiresOf(rest), nil)
		if err != nil {
			return err
		}
		changed = append(changed, b.applyTo(known)...)
	}
	return b.updateTransmissions(ctx, changed)
}

func wiresOf(words []*word) (wires []wire) {
	for _, w := range words {
		wires = append(wires, w.wire)
	}
	slices.SortFunc(wires, wire.compare)
	return slices.Compact(wires)
}

// likelyMonths are the months in which the words' transmissions nearly always
// are: those of the words, and the ones before; nil when they are too many.
func likelyMonths(words []*word) (months []int64) {
	const maxLikely = 4
	for _, w := range words {
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
	for len(months) < maxLikely { // the same statement for any number
		months = append(months, months[0])
	}
	return months
}

// lock reads the transmissions of wires and keeps others from changing them
// until the end of the transaction.
func (b *batch) lock(ctx context.Context, wires []wire, months []int64) (found []*transmission, err error) {
	rows := make([][]any, len(wires))
	for i, w := range wires {
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
		}, with+"SELECT "+lockedColumns+" FROM r JOIN transmission t ON t.id = r.id AND t.direction = r.direction"+
			among+" ORDER BY t.id, t.direction, t.backend_id, t.month"+b.db.Dialect.ForUpdate("t"), args...)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

const lockedColumns = `t.id, t.direction, t.backend_id, t.month, t.message_id, t.connection_id, t.broadcast_id,
	t.fact, t.attempt, t.reason, t.provider_id, t.application, t.date, t.sent, t.delivered`

func scanTransmission(rows *sql.Rows) (*transmission, error) {
	t := new(transmission)
	err := rows.Scan(&t.id, &t.direction, &t.backend, &t.month, &t.messageID, &t.connection, orNull[int64]{&t.broadcast},
		&t.Fact, &t.Attempt, orNull[string]{&t.reason}, orNull[string]{&t.provider}, orNull[string]{&t.app},
		moment{&t.date}, moment{&t.sent}, moment{&t.delivered})
	if err == nil {
		err = checkFact(t.Fact)
	}
	return t, err
}

// checkFact refuses to go on from a fact that only a newer program knows.
func checkFact(f store.Fact) error {
	if f.Known() {
		return nil
	}
	return fmt.Errorf("%w: what it knows of a transmission has the number %d", store.ErrSchemaNewer, int(f))
}

// applyTo lets the unplaced words count and returns what they changed. What
// comes to be E by them may have another attempt.
func (b *batch) applyTo(known []*transmission) (changed []*transmission) {
	for _, t := range known {
		was := t.Progress
		any := false
		for _, w := range b.words[t.wire] {
			// A word of no certain backend may concern several transmissions.
			if !w.about(t) || w.placed && w.backend != 0 {
				continue
			}
			w.placed = true
			any = t.apply(w) || any
		}
		if any {
			changed = append(changed, t)
			b.changed(t, was.Fact.Status())
		}
		if t.broadcast != 0 && t.Progress != was && t.Fact.Status() == store.StatusError && t.Fact != store.Cancelled {
			b.retries = append(b.retries, t)
		}
	}
	return changed
}

const updateColumns = "id, direction, backend_id, month, status, fact, attempt, reason, provider_id, application, updated, sent, delivered"

var updateTypes = []Type{Text, Text, Int, Int, Text, Int, Int, Text, Text, Text, Time, Time, Time}

func (b *batch) updateTransmissions(ctx context.Context, changed []*transmission) error {
	rows := make([][]any, len(changed))
	for i, t := range changed {
		rows[i] = []any{
			t.id, string(t.direction), t.backend, t.month, string(t.Fact.Status()), int64(t.Fact), int64(t.Attempt),
			null(t.reason), null(t.provider), null(t.app), b.now, when(t.sent), when(t.delivered),
		}
	}
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", updateColumns, updateTypes, part)
		_, err := b.db.exec(ctx, b.tx, with+`UPDATE transmission AS t SET status = r.status, fact = r.fact, attempt = r.attempt,
			reason = r.reason, provider_id = r.provider_id, application = r.application, updated = r.updated,
			sent = r.sent, delivered = r.delivered
			FROM r WHERE t.id = r.id AND t.direction = r.direction AND t.backend_id = r.backend_id AND t.month = r.month`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
