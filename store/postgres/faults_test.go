//go:build services

package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"

	"switchboard/message"
	"switchboard/store"
	"switchboard/store/postgres"
)

// TestRowsTheDatabaseRefusesAreFound: an envelope that only the database rejects is reported
// alone; all others are stored.
func TestRowsTheDatabaseRefusesAreFound(t *testing.T) {
	name := schema(t)
	db := open(t, name)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	execRaw(t.Context(), t, fmt.Sprintf("ALTER TABLE %s.message ADD CONSTRAINT no_poison CHECK (text <> 'poison')", name))
	batch := talk(50, 10)
	for _, i := range []int{0, 13, 100, 101} { // 13 is an outbound message, 100 and 101 a message and its reply
		if batch[i].Message != nil {
			batch[i].Message.Content = "poison"
		}
	}
	batch[13].Message.Content = "poison"
	rejected, err := db.Record(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	var indexes []int
	for _, r := range rejected {
		indexes = append(indexes, r.Index)
		if !strings.Contains(r.Error(), "no_poison") {
			t.Errorf("reason: %v", r)
		}
	}
	if diff := cmp.Diff([]int{0, 13, 100, 101}, indexes); diff != "" {
		t.Errorf("rejected, -want +got:\n%s", diff)
	}
	n := 0
	for range db.Messages(t.Context(), store.Filter{}) {
		n++
	}
	if n != 96 {
		t.Errorf("%d transmissions were written, want 96", n)
	}
	// Updates of the rejected messages wait for them.
	if a, err := db.Audit(t.Context(), store.AuditLimits{}); err != nil || a.Orphan == 0 {
		t.Errorf("Audit = %+v, %v", a, err)
	}
}

// TestConnectionsThatAreCut: a batch whose connection is cut anywhere is recorded again, and
// counts once.
func TestConnectionsThatAreCut(t *testing.T) {
	name := schema(t)
	separator := "?"
	if strings.Contains(url(t), "?") {
		separator = "&"
	}
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: url(t) + separator + "application_name=" + name, Schema: name, MaxConns: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	cut := make(chan int, 1)
	go cutConnections(t, connect(t, "public"), name, stop, cut)
	failures := 0
	for range 60 {
		batch := talk(50, 100)
		for {
			rejected, err := db.Record(t.Context(), batch)
			if len(rejected) > 0 {
				t.Fatalf("rejected: %v", rejected)
			}
			if err == nil {
				break
			}
			failures++
		}
	}
	close(stop)
	t.Logf("%d connections cut, %d batches given again", <-cut, failures)
	again, err := postgres.Open(t.Context(), postgres.Settings{URL: url(t), Schema: name}) // whose connections were not cut
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	counts := map[store.Status]int{}
	for r, err := range again.Messages(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		counts[r.Status]++
	}
	if diff := cmp.Diff(map[store.Status]int{"R": 3000, "D": 3000}, counts); diff != "" {
		t.Errorf("states, -want +got:\n%s", diff)
	}
}

func cutConnections(t *testing.T, c *pgx.Conn, name string, stop <-chan struct{}, cut chan<- int) {
	const most = 150 // so that recording ends on a slow machine, too
	n := 0
	defer func() { cut <- n }()
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for n < most {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		done, err := c.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name)
		if err != nil {
			t.Errorf("cutting connections: %v", err)
		}
		n += int(done.RowsAffected())
	}
}

// TestMigrateFilled migrates through every version with rows of each version.
func TestMigrateFilled(t *testing.T) {
	name := schema(t)
	execRaw(t.Context(), t, "CREATE SCHEMA "+name)
	raw, err := sql.Open("pgx", url(t)+map[bool]string{true: "&", false: "?"}[strings.Contains(url(t), "?")]+"search_path="+name)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, raw, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	fills := map[int64]string{
		1: "INSERT INTO state (key, value) SELECT n::text::bytea, 'v' FROM generate_series(1, 5000) n",
	}
	for _, s := range provider.ListSources() {
		if _, err := provider.ApplyVersion(t.Context(), s.Version, true); err != nil {
			t.Fatalf("version %d: %v", s.Version, err)
		}
		if fill := fills[s.Version]; fill != "" {
			if _, err := raw.ExecContext(t.Context(), fill); err != nil {
				t.Fatalf("filling version %d: %v", s.Version, err)
			}
		}
	}
	db := open(t, name)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := db.Get(t.Context(), "1", "5000")
	if err != nil || len(got) != 2 {
		t.Errorf("Get = %v, %v", got, err)
	}
	recordAll(t, db, talk(5, 5))
}

// TestMonthsAreMadeAhead: the next month's partitions exist ahead, and an old message's month
// is made for it.
func TestMonthsAreMadeAhead(t *testing.T) {
	name := schema(t)
	db := open(t, name)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := message.New()
	old.Timestamp = time.Now().AddDate(0, -5, 0)
	recordAll(t, db, []store.Envelope{{Direction: store.Outbound, Backend: "sms", Message: old}})
	first := time.Date(time.Now().Year(), time.Now().Month(), 1, 0, 0, 0, 0, time.UTC)
	for _, when := range []time.Time{first, first.AddDate(0, 1, 0), old.Timestamp} {
		for _, table := range []string{"message", "transmission", "event"} {
			partition := fmt.Sprintf("%s.%s_%s", name, table, when.UTC().Format("200601"))
			var there bool
			err := connect(t, name).QueryRow(t.Context(), "SELECT to_regclass($1) IS NOT NULL", partition).Scan(&there)
			if err != nil || !there {
				t.Errorf("partition %s: there %v, %v", partition, there, err)
			}
		}
	}
}
