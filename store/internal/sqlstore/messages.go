package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"switchboard/store"
)

func param(n int) string { return "$" + strconv.Itoa(n) }

// messageKey is the primary key of a message.
type messageKey struct {
	wireID
	month int64
}

// change is what a batch changes of a message.
type change struct {
	messageKey
	arrival *arrival // set when the message may be new
	delta   store.Counts
	last    *transmission // gives the message its reason and times
}

func (b *batch) changeOf(t *transmission) *change {
	key := messageKey{wireID{t.messageID, t.direction}, t.month}
	c := b.changes[key]
	if c == nil {
		c = &change{messageKey: key}
		b.changes[key] = c
	}
	if c.last == nil || c.last.Progress.Status() != store.StatusError {
		c.last = t
	}
	return c
}

// added counts a new transmission.
func (b *batch) added(a *arrival, t *transmission) {
	c := b.changeOf(t)
	if c.arrival == nil {
		c.arrival = a
	}
	c.delta = c.delta.Add(store.Of(t.Progress.Status()))
}

// changed counts a transmission whose status was another.
func (b *batch) changed(t *transmission, was store.Status) {
	c := b.changeOf(t)
	c.delta = c.delta.Add(store.Of(t.Progress.Status())).Sub(store.Of(was))
}

// updateMessages stores the changes of messages.
func (b *batch) updateMessages(ctx context.Context) error {
	var inserted, known [][]any
	for _, c := range b.sortedChanges() {
		if c.arrival != nil {
			inserted = append(inserted, c.insertRow(b.now))
		} else {
			known = append(known, c.updateRow(b.now))
		}
	}
	if err := b.each(ctx, inserted, insertColumns, insertTypes, insertMessages); err != nil {
		return err
	}
	return b.each(ctx, known, updateMessageColumns, updateMessageTypes, updateMessages)
}

func (b *batch) sortedChanges() []*change {
	list := make([]*change, 0, len(b.changes))
	for _, c := range b.changes {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *change) int {
		return cmp.Or(a.wireID.compare(b.wireID), cmp.Compare(a.month, b.month))
	})
	return list
}

// each runs a statement on rows r.
func (b *batch) each(ctx context.Context, rows [][]any, columns string, types []Type, statement string) error {
	for part := range b.db.chunks(rows) {
		with, args := b.db.with("r", columns, types, part)
		if _, err := b.db.exec(ctx, b.tx, with+statement, args...); err != nil {
			return err
		}
	}
	return nil
}

const insertColumns = `id, direction, month, status, reason, text, own_address, session_event, external_id, in_response_to,
	body, date, updated, sent, delivered, open_count, sent_count, done_count, error_count`

var insertTypes = []Type{
	Text, Text, Int, Text, Text, Text, Text, Text, Text, Text,
	Text, Time, Time, Time, Time, Int, Int, Int, Int,
}

func (c *change) insertRow(now time.Time) []any {
	a, status := c.arrival, c.delta.Status(c.direction)
	reason, sent, delivered := c.derived(status)
	return []any{
		c.id, string(c.direction), c.month, string(status), reason, a.text, null(a.own), null(a.session),
		null(cmp.Or(a.external, c.last.provider)), null(a.replyTo), null(a.body()), nullTime(a.date), now, sent, delivered,
		int64(c.delta.Open), int64(c.delta.Sent), int64(c.delta.Done), int64(c.delta.Error),
	}
}

// derived are the columns that a message has from its transmissions.
func (c *change) derived(status store.Status) (reason, sent, delivered any) {
	switch status {
	case store.StatusError:
		return null(c.last.reason), nil, nil
	case store.StatusSent:
		return nil, nullTime(c.last.sent), nil
	case store.StatusDelivered:
		return nil, nullTime(c.last.sent), nullTime(c.last.delivered)
	}
	return nil, nil, nil
}

const updateMessageColumns = "id, direction, month, reason, external_id, updated, sent, delivered, open_count, sent_count, done_count, error_count"

var updateMessageTypes = []Type{Text, Text, Int, Text, Text, Time, Time, Time, Int, Int, Int, Int}

func (c *change) updateRow(now time.Time) []any {
	return []any{
		c.id, string(c.direction), c.month, null(c.last.reason), null(c.last.provider), now,
		nullTime(c.last.sent), nullTime(c.last.delivered),
		int64(c.delta.Open), int64(c.delta.Sent), int64(c.delta.Done), int64(c.delta.Error),
	}
}

// messageChanges is the SET clause that applies a change to a message m. change is r, or the
// row that an INSERT could not insert.
func messageChanges(change string) string {
	count := func(name string) string { return fmt.Sprintf("m.%s_count + %s.%s_count", name, change, name) }
	status := store.RollupSQL("m.direction", count)
	return fmt.Sprintf(`status = %[1]s, updated = %[2]s.updated,
		open_count = %[3]s, sent_count = %[4]s, done_count = %[5]s, error_count = %[6]s,
		external_id = coalesce(m.external_id, %[2]s.external_id),
		reason = CASE WHEN (%[1]s) = 'E' THEN coalesce(%[2]s.reason, m.reason) END,
		sent = CASE WHEN (%[1]s) IN ('S', 'D') THEN coalesce(%[2]s.sent, m.sent) ELSE m.sent END,
		delivered = CASE WHEN (%[1]s) = 'D' THEN coalesce(%[2]s.delivered, m.delivered) ELSE m.delivered END`,
		status, change, count("open"), count("sent"), count("done"), count("error"))
}

var (
	insertMessages = "INSERT INTO message AS m (" + insertColumns + ") SELECT " + insertColumns + ` FROM r WHERE true
		ON CONFLICT (id, direction, month) DO UPDATE SET ` + messageChanges("excluded")
	updateMessages = "UPDATE message AS m SET " + messageChanges("r") +
		" FROM r WHERE m.id = r.id AND m.direction = r.direction AND m.month = r.month"
)
