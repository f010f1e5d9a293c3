//go:build services

package postgres_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"switchboard/message"
	"switchboard/store"
	"switchboard/store/postgres"
)

// talk makes n conversations: a message in, its reply, the ack and the
// delivery report of that: four envelopes each.
func talk(n, people int) []store.Envelope {
	batch := make([]store.Envelope, 0, 4*n)
	for i := range n {
		in := message.New()
		in.From, in.To, in.TransportName, in.Content = fmt.Sprintf("+27%09d", i%people), "12345", "sms", "balance please"
		out := message.New()
		out.To, out.From, out.TransportName, out.InReplyTo = in.From, in.To, "sms", in.ID
		out.Content = "Your balance is R 12.34. Thank you for being with us."
		ack := message.NewAck(out, message.NewID())
		report := message.NewDeliveryReport(out, message.Delivered)
		batch = append(batch,
			store.Envelope{Direction: store.Inbound, Backend: "sms", Message: in, Body: in.Encode()},
			store.Envelope{Direction: store.Outbound, Backend: "sms", Application: "app", Message: out, Body: out.Encode()},
			store.Envelope{Backend: "sms", Event: ack, Body: ack.Encode()},
			store.Envelope{Backend: "sms", Event: report, Body: report.Encode()})
	}
	return batch
}

// BenchmarkRecord measures envelopes a second: in batches where a conversation
// is together (mixed), where what becomes of a message comes a batch later
// (later), and, to compare, as single-row inserts of the same rows.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{200, 1000, 2000} {
		b.Run(fmt.Sprintf("mixed/%d", size), func(b *testing.B) {
			db := migrated(b)
			perEnvelope(b, size, func() { recordAll(b, db, talk(size/4, 50_000)) })
		})
	}
	b.Run("later/1000", func(b *testing.B) {
		db := migrated(b)
		var late []store.Envelope
		perEnvelope(b, 1000, func() {
			now := late
			late = nil
			for i, e := range talk(250, 50_000) {
				if i%4 < 2 {
					now = append(now, e)
				} else {
					late = append(late, e)
				}
			}
			recordAll(b, db, now)
		})
	})
	b.Run("single rows", func(b *testing.B) {
		name := schema(b)
		if err := open(b, name).Migrate(b.Context()); err != nil {
			b.Fatal(err)
		}
		c := connect(b, name)
		perEnvelope(b, 100, func() { insertSingly(b, c, 25) })
	})
}

func perEnvelope(b *testing.B, size int, batch func()) {
	start := time.Now()
	n := 0
	for b.Loop() {
		batch()
		n += size
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "envelopes/s")
}

func recordAll(b testing.TB, db *postgres.DB, batch []store.Envelope) {
	rejected, err := db.Record(context.Background(), batch)
	if err != nil || len(rejected) > 0 {
		b.Fatalf("Record: %v, %v", err, rejected)
	}
}

func connect(b testing.TB, schema string) *pgx.Conn {
	c, err := pgx.Connect(b.Context(), url(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	if _, err := c.Exec(b.Context(), "SET search_path = "+schema); err != nil {
		b.Fatal(err)
	}
	return c
}

// insertSingly writes the rows of n conversations one by one, each committed
// by itself, as pgbench would.
func insertSingly(b *testing.B, c *pgx.Conn, n int) {
	exec := func(statement string, args ...any) {
		if _, err := c.Exec(context.Background(), statement, args...); err != nil {
			b.Fatal(err)
		}
	}
	now := time.Now().UTC()
	month := now.Year()*100 + int(now.Month())
	for _, e := range talk(n, 50_000) {
		if m := e.Message; m != nil {
			exec(`INSERT INTO message (id, direction, month, status, text, own_address, in_response_to, body, date, updated,
				open_count, sent_count, done_count, error_count) VALUES ($1, $2, $3, 'Q', $4, '12345', $5, $6, $7, $7, 1, 0, 0, 0)`,
				m.ID, string(e.Direction), month, m.Content, m.InReplyTo, string(e.Body), m.Timestamp)
			exec(`INSERT INTO transmission (id, direction, backend_id, month, message_id, connection_id, status, progress, attempt, date, updated)
				VALUES ($1, $2, 1, $3, $1, 1, 'Q', 0, 1, $4, $4)`, m.ID, string(e.Direction), month, m.Timestamp)
			continue
		}
		exec(`INSERT INTO event (id, month, message_id, direction, backend_id, type, date, recorded, body)
			VALUES ($1, $2, $3, 'O', 1, $4, $5, $5, $6)`, e.Event.ID, month, e.Event.MessageID, string(e.Event.Type), e.Event.Timestamp, string(e.Body))
	}
}

// BenchmarkState measures remembering each of many messages through a Batcher,
// and one by one.
func BenchmarkState(b *testing.B) {
	b.Run("batched", func(b *testing.B) {
		batcher := store.NewBatcher(migrated(b), store.BatchSettings{})
		safe := make(chan error, 1000)
		waiting := 0
		wait := func() {
			if err := <-safe; err != nil {
				b.Fatal(err)
			}
			waiting--
		}
		for b.Loop() {
			if waiting == cap(safe) { // a prefetch of 1000
				wait()
			}
			waiting++
			if err := batcher.SetAsync(b.Context(), func(err error) { safe <- err }, stateEntry()); err != nil {
				b.Fatal(err)
			}
		}
		for waiting > 0 {
			wait()
		}
		_ = batcher.Close()
	})
	b.Run("singly", func(b *testing.B) {
		db := migrated(b)
		for b.Loop() {
			if err := db.Set(b.Context(), stateEntry()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func stateEntry() store.Entry {
	return store.Entry{Key: "events/dispatcher/" + message.NewID(), Value: "app", TTL: 48 * time.Hour}
}

// broadcastPeople are the people of BenchmarkBroadcast.
func broadcastPeople(n int) iter.Seq2[store.Recipient, error] {
	return func(yield func(store.Recipient, error) bool) {
		for i := range n {
			if !yield(store.Recipient{Address: store.Address{Backend: "sms", Identity: "+27" + strconv.Itoa(100_000_000+i)}}, nil) {
				return
			}
		}
	}
}

// BenchmarkBroadcast stores broadcasts: BROADCAST_PEOPLE says to how many; the
// default is 100,000. It reports the highest heap seen meanwhile.
func BenchmarkBroadcast(b *testing.B) {
	n := 100_000
	if text := os.Getenv("BROADCAST_PEOPLE"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	db := migrated(b)
	for b.Loop() {
		var heap uint64
		start := time.Now()
		counted := func(yield func(store.Recipient, error) bool) {
			i := 0
			for r, err := range broadcastPeople(n) {
				if i++; i%50_000 == 0 {
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					heap = max(heap, m.HeapAlloc)
				}
				if !yield(r, err) {
					return
				}
			}
		}
		made, err := db.Create(b.Context(), store.Broadcast{Text: "Hello"}, counted)
		if err != nil || made.Total != int64(n) {
			b.Fatalf("Create = %+v, %v", made, err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/broadcast")
		b.ReportMetric(float64(heap)/1e6, "MB-heap")
	}
}
