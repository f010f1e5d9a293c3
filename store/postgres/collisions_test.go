//go:build services

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/store"
	"switchboard/store/postgres"
)

// collision is a database with two messages, a and b, and another transaction that is to
// conflict with the recorder.
type collision struct {
	*testing.T
	name  string
	db    *postgres.DB
	other *pgx.Conn
	a, b  *message.Message
}

func newCollision(t *testing.T, settings ...string) *collision {
	t.Helper()
	name := schema(t)
	separator := map[bool]string{true: "&", false: "?"}[strings.Contains(url(t), "?")]
	address := url(t) + separator + strings.Join(append(settings, "application_name="+name), "&")
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: address, Schema: name, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &collision{T: t, name: name, db: db, other: connect(t, name), a: message.New(), b: message.New()}
	c.a.ID, c.b.ID = "a", "b"
	for _, m := range []*message.Message{c.a, c.b} {
		m.To, m.TransportName = "+27831234567", "sms"
		recordAll(t, db, []store.Envelope{{Direction: store.Outbound, Backend: "sms", Message: m}})
	}
	return c
}

func (c *collision) exec(statement string) {
	c.Helper()
	if _, err := c.other.Exec(c.Context(), statement); err != nil {
		c.Fatalf("%s: %v", statement, err)
	}
}

// recordAcks records that both messages were sent, in the background.
func (c *collision) recordAcks() (recorded <-chan error) {
	done := make(chan error, 1)
	go func() {
		rejected, err := c.db.Record(context.Background(), []store.Envelope{
			{Backend: "sms", Event: message.NewAck(c.a, "")}, {Backend: "sms", Event: message.NewAck(c.b, "")},
		})
		if len(rejected) > 0 {
			err = errors.Join(err, fmt.Errorf("rejected: %v", rejected))
		}
		done <- err
	}()
	return done
}

// awaitBlocked waits until the recorder waits for the other transaction.
func (c *collision) awaitBlocked() {
	c.Helper()
	watch := connect(c, c.name)
	testutil.Eventually(c, "the recorder waits for the other", func() (blocked bool) {
		err := watch.QueryRow(c.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock')",
			c.name).Scan(&blocked)
		if err != nil {
			c.Fatal(err)
		}
		return blocked
	})
}

func (c *collision) wantBothSent(recorded <-chan error) {
	c.Helper()
	if err := <-recorded; err != nil {
		c.Fatalf("Record: %v", err)
	}
	for r, err := range c.db.Messages(c.Context(), store.Filter{}) {
		if err != nil || r.Status != store.StatusSent {
			c.Errorf("%s is %s, %v", r.ID, r.Status, err)
		}
	}
}

// TestDeadlock: the recorder locks a and then b, another transaction b and then a. PostgreSQL
// aborts the recorder's transaction, which is run again.
func TestDeadlock(t *testing.T) {
	c := newCollision(t)
	c.exec("SET deadlock_timeout = '60s'") // the other never looks, so it is not the one that is ended
	c.exec("BEGIN")
	c.exec("SELECT 1 FROM transmission WHERE id = 'b' FOR UPDATE")
	recorded := c.recordAcks()
	c.awaitBlocked()
	c.exec("SELECT 1 FROM transmission WHERE id = 'a' FOR UPDATE") // only given once the recorder's is ended
	select {
	case err := <-recorded:
		t.Fatalf("recorded though b is held: %v", err)
	default:
	}
	c.exec("COMMIT")
	c.wantBothSent(recorded)
}

// TestSerializationFailure: in a database with serializable transactions, the recorder is run
// again when a row was changed since its transaction began.
func TestSerializationFailure(t *testing.T) {
	c := newCollision(t, "default_transaction_isolation=serializable")
	c.exec("BEGIN")
	c.exec("UPDATE transmission SET application = 'other' WHERE id = 'b'")
	recorded := c.recordAcks()
	c.awaitBlocked()
	c.exec("COMMIT") // PostgreSQL now ends the recorder's: could not serialize access
	c.wantBothSent(recorded)
	if r := find(t, c.db, "b"); r.Application != "other" {
		t.Errorf("what the other transaction wrote was overwritten: %+v", r)
	}
}

func find(t *testing.T, db *postgres.DB, id string) store.Record {
	t.Helper()
	trace, err := db.Trace(t.Context(), id)
	if err != nil || len(trace.Records) != 1 {
		t.Fatalf("Trace(%s) = %+v, %v", id, trace, err)
	}
	return trace.Records[0]
}

// cutCopy ends the connection that copies, and reports whether there was one.
func (c *collision) cutCopy() bool {
	c.Helper()
	var pid int // asked for first, or PostgreSQL may end connections before it looks whose they are
	err := c.other.QueryRow(c.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'
		AND query ILIKE 'copy %'`, c.name).Scan(&pid)
	if err == nil {
		_, err = c.other.Exec(c.Context(), "SELECT pg_terminate_backend($1)", pid)
	}
	if err != nil {
		c.Errorf("cutting the connection that copies: %v", err)
	}
	return err == nil
}

// TestCopyThatIsCut: when the connection of a COPY ends, nothing of the broadcast is stored,
// and it can be created again.
func TestCopyThatIsCut(t *testing.T) {
	const many = 30_000
	c := newCollision(t)
	copying := false
	people := func(cut bool) iter.Seq2[store.Recipient, error] {
		return func(yield func(store.Recipient, error) bool) {
			for i := range many {
				if cut && i == many/2 {
					copying = c.cutCopy()
				}
				if !yield(store.Recipient{Address: store.Address{Backend: "sms", Identity: fmt.Sprintf("+27%09d", i)}}, nil) {
					return
				}
			}
		}
	}
	if made, err := c.db.Create(t.Context(), store.Broadcast{Text: "hello"}, people(true)); err == nil || made.ID != 0 || !copying {
		t.Fatalf("Create = %+v, %v; it was copying when it was cut: %v", made, err, copying)
	}
	if list, err := c.db.List(t.Context(), 10); err != nil || len(list) != 0 {
		t.Errorf("after it was cut there are broadcasts: %+v, %v", list, err)
	}
	made, err := c.db.Create(t.Context(), store.Broadcast{Text: "hello"}, people(false))
	if err != nil || made.Total != many {
		t.Fatalf("made again: %+v, %v", made, err)
	}
	counts := map[store.Status]int{}
	for r, err := range c.db.Messages(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		counts[r.Status]++
	}
	if counts[store.StatusQueued] != many || len(counts) != 2 { // a and b are P
		t.Errorf("states: %v", counts)
	}
}
