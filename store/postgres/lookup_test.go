//go:build services

package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"switchboard/store"
	"switchboard/store/postgres"
)

// fillMonths is over how many months the generated record is spread.
const fillMonths = 12

// fill generates a record of that many transmissions in the months before
// now, half of them inbound and half their replies, with people people. The
// transmission with number n is called generatedID(n) and has address
// generatedAddress(n, people); the provider calls it "p" + its name.
func fill(b testing.TB, c *pgx.Conn, transmissions, people int) {
	ctx := context.Background()
	run := func(statement string, args ...any) {
		if _, err := c.Exec(ctx, statement, args...); err != nil {
			b.Fatalf("%.60s: %v", statement, err)
		}
	}
	run("SET synchronous_commit = off")
	run("SET maintenance_work_mem = '512MB'")
	run("INSERT INTO backend (name) VALUES ('sms'), ('ussd')")
	run("INSERT INTO connection (identity, backend_id) SELECT '+27' || (100000000 + n), 1 + n % 2 FROM generate_series(0, $1::int - 1) n", people)
	part := transmissions / fillMonths
	for i := range fillMonths {
		when := time.Now().UTC().AddDate(0, 0, -30*i)
		fillMonth(run, i*part, part, people, when)
	}
	run("ANALYZE")
}

func progress(f store.Progress) string { return strconv.Itoa(int(f)) }

// fillMonth makes the partition without its indexes, which are faster built
// than kept.
func fillMonth(run func(string, ...any), from, n, people int, when time.Time) {
	month := when.Year()*100 + int(when.Month())
	args := []any{from, from + n - 1, month, when, people}
	const numbers = ` FROM generate_series($1::int, $2::int) n, (SELECT $3::int AS month, $4::timestamptz AS day, $5::int AS people) k`
	processed, refused, delivered := progress(store.Processed), progress(store.Refused), progress(store.Delivered)
	const id, even, date = "md5(n::text)", "n % 2 = 0", "k.day - (n % 80000) * interval '1 second'"
	for _, table := range []string{"message", "transmission", "event"} {
		run(fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %[1]s_%[2]d PARTITION OF %[1]s FOR VALUES IN (%[2]d)`, table, month))
	}
	run(`INSERT INTO message (id, direction, month, status, reason, text, own_address, in_response_to, date, updated,
			open_count, sent_count, done_count, error_count)
		SELECT `+id+`, CASE WHEN `+even+` THEN 'I' ELSE 'O' END, k.month,
			CASE WHEN `+even+` THEN 'R' WHEN n % 1001 = 0 THEN 'E' ELSE 'D' END, CASE WHEN n % 1001 = 0 THEN 'no credit' END,
			'Your balance is R ' || n, '12345', CASE WHEN n % 2 = 1 THEN md5((n - 1)::text) END, `+date+`, `+date+`, 0, 0, 1, 0`+numbers, args...)
	run(`INSERT INTO transmission (id, direction, backend_id, month, message_id, connection_id, status, progress, attempt, reason,
			provider_id, application, date, updated)
		SELECT `+id+`, CASE WHEN `+even+` THEN 'I' ELSE 'O' END, 1 + (n / 2 % k.people) % 2, k.month, `+id+`, 1 + n / 2 % k.people,
			CASE WHEN `+even+` THEN 'R' WHEN n % 1001 = 0 THEN 'E' ELSE 'D' END, CASE WHEN `+even+` THEN `+processed+` WHEN n % 1001 = 0 THEN `+refused+` ELSE `+delivered+` END,
			1, CASE WHEN n % 1001 = 0 THEN 'no credit' END, CASE WHEN n % 2 = 1 THEN 'p' || `+id+` END, 'app', `+date+`, `+date+numbers, args...)
	run(`INSERT INTO event (id, month, message_id, direction, backend_id, type, provider_id, date, recorded, body)
		SELECT md5('e' || n), k.month, `+id+`, 'O', 1, 'ack', 'p' || `+id+`, `+date+`, `+date+`, '{}'`+numbers+` WHERE n % 2 = 1`, args...)
}

// BenchmarkLookup measures look-ups in a record of LOOKUP_ROWS transmissions
// (1,000,000 unless it is set) over twelve months.
func BenchmarkLookup(b *testing.B) {
	rows := 1_000_000
	if text := os.Getenv("LOOKUP_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	people := rows / 20
	name := schema(b)
	db := open(b, name)
	if err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	c := connect(b, name)
	fill(b, c, rows, people)
	b.Logf("filled in %v", time.Since(start))
	id := func(n int) string {
		var id string
		if err := c.QueryRow(context.Background(), "SELECT md5($1::int::text)", n).Scan(&id); err != nil {
			b.Fatal(err)
		}
		return id
	}
	keys := make([]string, 500)
	for i := range keys {
		keys[i] = id(rand.IntN(rows/fillMonths*fillMonths/2)*2 + 1)
	}
	lookups(b, db, keys, func() string { return "+27" + strconv.Itoa(100_000_000+rand.IntN(people)) })
	b.Run("record into it", func(b *testing.B) {
		perEnvelope(b, 1000, func() { recordAll(b, db, talk(250, 50_000)) })
	})
}

func lookups(b *testing.B, db *postgres.DB, keys []string, address func() string) {
	trace := func(key string) {
		if t, err := db.Trace(b.Context(), key); err != nil || len(t.Records) < 2 {
			b.Fatalf("Trace(%s) = %+v, %v", key, t, err)
		}
	}
	list := func(f store.Filter) {
		for _, err := range db.Messages(b.Context(), f) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, look := range []struct {
		name string
		do   func(i int)
	}{
		{"trace by id", func(i int) { trace(keys[i%len(keys)]) }},
		{"trace by provider id", func(i int) { trace("p" + keys[i%len(keys)]) }},
		{"trace by address", func(int) { trace(address()) }},
		{"list by address", func(int) { list(store.Filter{Address: address(), Limit: 50}) }},
		{"list newest", func(int) { list(store.Filter{Limit: 50}) }},
		{"list by transport", func(int) { list(store.Filter{Backend: "ussd", Limit: 50}) }},
		{"list by state E", func(int) { list(store.Filter{Status: store.StatusError, Limit: 50}) }},
		{"list a day by state E", func(int) {
			list(store.Filter{Status: store.StatusError, Since: time.Now().AddDate(0, 0, -1), Limit: 50})
		}},
	} {
		b.Run(look.name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				look.do(i)
				i++
			}
		})
	}
	b.Run("audit of today", func(b *testing.B) {
		for b.Loop() {
			if _, err := db.Audit(b.Context(), store.AuditLimits{Since: time.Now().AddDate(0, 0, -1), Stuck: time.Hour}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
