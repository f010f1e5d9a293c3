package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/store"
)

var _ store.Broadcasts = (*DB)(nil)

// The ids of a broadcast's transmissions are idPrefix hex digits of its own and their number:
// sorted in the order of sending, at the end of every index.
const idPrefix = 20

// listPart is how many connections one transaction inserts, so that recorders do not wait for
// long.
const listPart = 20_000

// throttledSeconds bounds how long the handover of a batch takes at the broadcast's rate.
const throttledSeconds = 5

// The bounds of a broadcast's text, and of all texts of a batch, in bytes.
const (
	maxText      = 100_000
	maxBatchText = 2 << 20
)

// The bounds of a broadcast's rate, in messages a second.
const (
	minRate = 1e-5 // about one a day
	maxRate = 1e6
)

// creator stores a broadcast, on one connection that has its temporary tables.
type creator struct {
	db      *DB
	conn    *sql.Conn
	b       store.Broadcast
	text    template
	now     time.Time
	created store.Created
	// countries are those of the backends, by name.
	countries map[string]string
}

// Create implements store.Broadcasts.
func (db *DB) Create(ctx context.Context, b store.Broadcast, recipients iter.Seq2[store.Recipient, error]) (store.Created, error) {
	text, err := parseTemplate(b.Text)
	if err != nil {
		return store.Created{}, message.Permanent(err)
	}
	if len(b.Text) > maxText {
		return store.Created{}, message.Permanent(fmt.Errorf("the broadcast's text has %d bytes, more than %d", len(b.Text), maxText))
	}
	if b.Rate != 0 && !(b.Rate >= minRate && b.Rate <= maxRate) { // NaN is neither
		return store.Created{}, message.Permanent(fmt.Errorf("the broadcast's rate is %g messages a second: give %g to %g, or 0 for no limit",
			b.Rate, minRate, maxRate))
	}
	c := &creator{db: db, b: withDefaults(b), text: text}
	if c.now, err = db.clock(ctx, db.Write); err != nil {
		return c.created, fmt.Errorf("creating broadcast: %w", err)
	}
	if err := db.ensureMonths(ctx, []int64{monthOf(c.now)}); err != nil {
		return c.created, err
	}
	if _, c.countries, err = db.countries(ctx, db.Write); err != nil {
		return c.created, fmt.Errorf("creating broadcast: %w", err)
	}
	if c.conn, err = db.Write.Conn(ctx); err != nil {
		return c.created, fmt.Errorf("creating broadcast: %w", err)
	}
	defer c.conn.Close()
	defer c.drop()
	if err := c.run(ctx, recipients); err != nil {
		c.created.ID, c.created.MessageID = 0, ""
		return c.created, fmt.Errorf("creating broadcast: %w", err)
	}
	return c.created, nil
}

func withDefaults(b store.Broadcast) store.Broadcast {
	if b.BatchSize <= 0 {
		b.BatchSize = store.DefaultBatchSize
	}
	if b.Retries == 0 {
		b.Retries = store.DefaultRetries
	}
	b.Retries = max(b.Retries, 0)
	if b.RetryAfter <= 0 {
		b.RetryAfter = store.DefaultRetryAfter
	}
	b.BatchSize = min(b.BatchSize, maxBatchText/max(len(b.Text), 1))
	if b.Rate > 0 {
		// The handover must end within the lease, and soon after a pause.
		b.BatchSize = min(b.BatchSize, max(1, int(b.Rate*throttledSeconds)))
	}
	return b
}

func (c *creator) run(ctx context.Context, recipients iter.Seq2[store.Recipient, error]) error {
	lines, err := c.load(ctx, recipients)
	if err != nil {
		return err
	}
	if err := c.connect(ctx, lines); err != nil {
		return fmt.Errorf("storing connections: %w", err)
	}
	if err := c.pick(ctx, lines); err != nil {
		return fmt.Errorf("picking recipients: %w", err)
	}
	if c.created.Total == 0 {
		return store.ErrNoRecipients
	}
	if err := c.store(ctx); err != nil {
		return fmt.Errorf("storing transmissions: %w", err)
	}
	return nil
}

// drop drops the temporary tables, also after ctx has ended.
func (c *creator) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, table := range []string{"broadcast_list", "broadcast_pick"} {
		_, _ = c.conn.ExecContext(ctx, "DROP TABLE IF EXISTS "+table) // the next Create tries again
	}
}

// load streams the list into a temporary table and returns its number of lines.
func (c *creator) load(ctx context.Context, recipients iter.Seq2[store.Recipient, error]) (int64, error) {
	c.drop()
	_, err := c.conn.ExecContext(ctx, "CREATE TEMPORARY TABLE broadcast_list (line bigint PRIMARY KEY, backend text, identity text, normal text, text text)")
	if err != nil {
		return 0, err
	}
	n, err := c.db.Dialect.Copy(ctx, c.conn, "broadcast_list", []string{"line", "backend", "identity", "normal", "text"}, c.rows(recipients))
	if err != nil {
		return 0, err
	}
	return n, c.analyze(ctx, "broadcast_list")
}

func (c *creator) analyze(ctx context.Context, table string) error {
	if statement := c.db.Dialect.Analyze(table); statement != "" {
		_, err := c.conn.ExecContext(ctx, statement)
		return err
	}
	return nil
}

func (c *creator) rows(recipients iter.Seq2[store.Recipient, error]) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		line := int64(0)
		for r, err := range recipients {
			line++
			var row []any
			if err == nil {
				if row, err = c.row(line, &r); err != nil {
					err = message.Permanent(fmt.Errorf("recipient %d: %w", line, err))
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (c *creator) row(line int64, r *store.Recipient) ([]any, error) {
	backend, identity := store.Printable(r.Backend), store.Printable(r.Identity)
	if backend == "" || len(backend) > maxID {
		return nil, fmt.Errorf("transport %.40q: 1 to %d bytes are wanted", backend, maxID)
	}
	if identity == "" || len(identity) > maxAddress {
		return nil, fmt.Errorf("address %.40q: 1 to %d bytes are wanted", identity, maxAddress)
	}
	normal := c.db.numbers.normal(c.countries[backend], identity)
	if !c.text.personal() {
		return []any{line, backend, identity, normal, nil}, nil
	}
	text, err := c.text.fill(r.Fields)
	if err != nil {
		return nil, err
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("the text has %d bytes, more than %d", len(text), maxText)
	}
	return []any{line, backend, identity, normal, store.Printable(text)}, nil
}

// connect inserts the new connections.
func (c *creator) connect(ctx context.Context, lines int64) error {
	insertBackends := "INSERT INTO backend (name) SELECT DISTINCT backend FROM broadcast_list WHERE true ON CONFLICT DO NOTHING"
	if _, err := c.db.exec(ctx, c.conn, insertBackends); err != nil {
		return err
	}
	for from := int64(0); from < lines; from += listPart {
		err := c.db.retry(ctx, func() error {
			_, err := c.db.exec(ctx, c.conn, `INSERT INTO connection (identity, backend_id, normal)
				SELECT DISTINCT l.identity, b.id, l.normal FROM broadcast_list l JOIN backend b ON b.name = l.backend
				WHERE l.line > $1 AND l.line <= $2 AND NOT EXISTS
					(SELECT 1 FROM connection c WHERE c.identity = l.identity AND c.backend_id = b.id)
				ORDER BY 1, 2 ON CONFLICT DO NOTHING`, from, from+listPart)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pick removes duplicates (one number is one recipient) and the opted-out, and numbers the rest by backend.
func (c *creator) pick(ctx context.Context, lines int64) error {
	_, err := c.db.exec(ctx, c.conn, `CREATE TEMPORARY TABLE broadcast_pick AS
		SELECT p.*, row_number() OVER (ORDER BY p.opted_out, p.backend_id, p.line) AS n,
			row_number() OVER (PARTITION BY p.opted_out, p.backend_id ORDER BY p.line) AS m
		FROM (SELECT l.line, l.text, c.id AS connection_id, c.backend_id,
				CASE WHEN `+optedOut+` THEN 1 ELSE 0 END AS opted_out
			FROM (SELECT backend, normal, min(line) AS line FROM broadcast_list GROUP BY backend, normal) f
			JOIN broadcast_list l ON l.line = f.line
			JOIN backend b ON b.name = l.backend
			JOIN connection c ON c.identity = l.identity AND c.backend_id = b.id) p`)
	if err != nil {
		return err
	}
	var all int64
	err = c.db.row(ctx, c.conn, "SELECT count(*), coalesce(sum(opted_out), 0) FROM broadcast_pick").Scan(&all, &c.created.OptedOut)
	c.created.Duplicates, c.created.Total = lines-all, all-c.created.OptedOut
	if err != nil {
		return err
	}
	return c.analyze(ctx, "broadcast_pick")
}

func (c *creator) store(ctx context.Context) error {
	return c.db.retry(ctx, func() error {
		tx, err := c.conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // does nothing after Commit
		for _, step := range []func(context.Context, *sql.Tx) error{
			c.storeBroadcast, c.storeMessage, c.storeTransmissions, c.storeBatches,
		} {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

func (c *creator) storeBroadcast(ctx context.Context, tx *sql.Tx) error {
	prefix := message.NewID()[:idPrefix]
	if c.b.Key != "" {
		sum := sha256.Sum256([]byte(c.b.Key))
		prefix = hex.EncodeToString(sum[:])[:idPrefix]
	}
	c.created.MessageID = prefix + strings.Repeat("0", 32-idPrefix)
	start := c.b.Start
	if start.IsZero() {
		start = c.now
	}
	at := c.db.Dialect.Time
	err := c.db.row(ctx, tx, `INSERT INTO broadcast (message_id, month, name, text, endpoint, state, created, start, next,
			rate, retries, retry_after, batch_size, total, duplicates, opted_out)
		VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (message_id) DO NOTHING RETURNING id`,
		c.created.MessageID, monthOf(c.now), store.Printable(c.b.Name), store.Printable(c.b.Text), store.Printable(c.b.Endpoint),
		at(c.now), at(utc(start)), at(utc(start)), c.b.Rate, c.b.Retries, micros(c.b.RetryAfter), c.b.BatchSize,
		c.created.Total, c.created.Duplicates, c.created.OptedOut).Scan(&c.created.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrExists
	}
	return err
}

func (c *creator) storeMessage(ctx context.Context, tx *sql.Tx) error {
	at := c.db.Dialect.Time(c.now)
	_, err := c.db.exec(ctx, tx, `INSERT INTO message (id, direction, month, status, text, own_address, in_response_to,
			date, updated, open_count, sent_count, done_count, error_count)
		VALUES ($1, 'O', $2, 'Q', $3, $4, $5, $6, $7, $8, 0, 0, 0)`,
		c.created.MessageID, monthOf(c.now), store.Printable(c.b.Text), null(store.Printable(c.b.From)), null(short(c.b.InReplyTo)),
		at, at, c.created.Total)
	return err
}

func (c *creator) storeTransmissions(ctx context.Context, tx *sql.Tx) error {
	at := c.db.Dialect.Time(c.now)
	_, err := c.db.exec(ctx, tx, `INSERT INTO transmission (id, direction, backend_id, month, message_id, connection_id, broadcast_id,
			status, progress, attempt, text, date, updated)
		SELECT `+c.id("n")+`, 'O', backend_id, $1, $2, connection_id, $3, 'Q', $4, 1, text, $5, $6
		FROM broadcast_pick WHERE opted_out = 0 ORDER BY n`,
		monthOf(c.now), c.created.MessageID, c.created.ID, int64(store.Queued), at, at)
	return err
}

// id is an expression: the id of transmission n.
func (c *creator) id(n string) string {
	return "'" + c.created.MessageID[:idPrefix] + "' || " + c.db.Dialect.Serial(n)
}

func (c *creator) storeBatches(ctx context.Context, tx *sql.Tx) (err error) {
	c.created.Batches, err = c.db.exec(ctx, tx, `INSERT INTO broadcast_batch (broadcast_id, backend_id, retry, first_id, last_id, size, due)
		SELECT $1, backend_id, $2, `+c.id("min(n)")+", "+c.id("max(n)")+`, count(*), $3
		FROM broadcast_pick WHERE opted_out = 0 GROUP BY backend_id, (m - 1) / $4 ORDER BY min(n)`,
		c.created.ID, false, c.db.Dialect.Time(c.now), c.b.BatchSize)
	return err
}

// template is a text with personal fields: Hi {{name}}.
type template struct {
	plain  []string // one more than fields
	fields []string
}

func parseTemplate(text string) (t template, err error) {
	for {
		before, rest, found := strings.Cut(text, "{{")
		t.plain = append(t.plain, before)
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}}")
		name = strings.TrimSpace(name)
		if !closed || name == "" {
			return t, errors.New("the broadcast's text has a {{ without a field's name and }}")
		}
		t.fields = append(t.fields, name)
		text = after
	}
}

func (t *template) personal() bool { return len(t.fields) > 0 }

func (t *template) fill(fields map[string]string) (string, error) {
	var b strings.Builder
	for i, name := range t.fields {
		value, ok := fields[name]
		if !ok {
			return "", fmt.Errorf("there is no field %q for the text (the list has %s)", name,
				strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		b.WriteString(t.plain[i])
		b.WriteString(value)
	}
	b.WriteString(t.plain[len(t.fields)])
	return b.String(), nil
}
