package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker/memory"
	"switchboard/fleet"
	"switchboard/internal/testutil"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/store/sqlite"
	"switchboard/worker"
)

// load reads a scheduler's file, as the fleet does.
func load(t *testing.T, text string) (*Scheduler, error) {
	t.Helper()
	doc, err := options.Parse("times.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	if err := doc.Into(s); err != nil {
		return nil, err
	}
	if err := doc.Rest(); err != nil {
		return nil, err
	}
	return s, doc.Locate(s.Validate())
}

func TestWrongOptions(t *testing.T) {
	const rest = "    transport: sms\n    to: [\"1\"]\n    text: hello\n"
	for text, want := range map[string]string{
		"timezone: UTC\n": "schedules: is missing",
		"timezone: Mars\nschedules:\n  a:\n    at: 2026-12-24 18:00\n" + rest: `timezone: "Mars" is no time zone`,
		"max_late: 1s\nschedules:\n  a:\n    at: 2026-12-24 18:00\n" + rest:   "max_late: must be between 1m",
		"schedules:\n  a:\n" + rest: "cron: or at must say when",
		"schedules:\n  a:\n    cron: 0 8 * * *\n    at: 2026-12-24 18:00\n" + rest:          "cron: or at must say when",
		"schedules:\n  a:\n    cron: 0 25 * * *\n" + rest:                                   "times.yaml:3: schedules.a.cron: is",
		"schedules:\n  a:\n    cron: '@every 1m'\n" + rest:                                  "schedules.a.cron: is",
		"schedules:\n  a:\n    at: tomorrow\n" + rest:                                       "at: is \"tomorrow\"",
		"schedules:\n  a:\n    at: 2026-12-24 18:00\n    transport: sms\n    text: x\n":     "to: or from_file must say to whom",
		"schedules:\n  a:\n    at: 2026-12-24 18:00\n    to: [\"1\"]\n    text: x\n":        "transport: is missing",
		"schedules:\n  a:\n    at: 2026-12-24 18:00\n    transport: sms\n    to: [\"1\"]\n": "text: is missing",
		"schedules:\n  a:\n    at: 2026-12-24 18:00\n    rate: -1\n" + rest:                 "rate: must not be negative",
		"schedules:\n  a:\n    at: 2026-12-24 18:00\n    corn: x\n" + rest:                  "did you mean \"cron\"",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Times are by the clock of the zone, in summer and in winter, and those that were missed
// are one.
func TestDue(t *testing.T) {
	s, err := load(t, "timezone: Europe/Berlin\nschedules:\n  a: {cron: 0 8 * * mon-fri, transport: sms, to: ['1'], text: x}\n  b: {at: 2026-10-26 08:00, transport: sms, to: ['1'], text: x}\n")
	if err != nil {
		t.Fatal(err)
	}
	moment := func(text string) time.Time {
		at, err := time.Parse("2006-01-02 15:04:05", text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		plan         int
		settled, now string
		at           string
		missed       int
		next         string
	}{
		{0, "2026-10-23 05:59:59", "2026-10-23 06:00:01", "2026-10-23 06:00:00", 0, "2026-10-26 07:00:00"}, // a Friday in summer
		{0, "2026-10-23 06:00:01", "2026-10-26 06:59:59", "", 0, "2026-10-26 07:00:00"},
		{0, "2026-10-26 06:59:59", "2026-10-26 07:00:00", "2026-10-26 07:00:00", 0, "2026-10-27 07:00:00"}, // a Monday in winter
		{0, "2026-10-26 06:59:59", "2026-10-26 08:00:00", "2026-10-26 07:00:00", 0, "2026-10-27 07:00:00"}, // an hour late
		{0, "2026-10-26 06:59:59", "2026-10-26 08:00:01", "", 1, "2026-10-27 07:00:00"},                    // and more
		{0, "2026-10-23 05:00:00", "2026-10-27 07:30:00", "2026-10-27 07:00:00", 1, "2026-10-28 07:00:00"},
		{1, "2026-10-26 06:59:59", "2026-10-26 07:00:00", "2026-10-26 07:00:00", 0, ""},
		{1, "2026-10-26 07:00:00", "2026-10-26 07:00:01", "", 0, ""},
	} {
		at, missed, next := due(s.plans[c.plan].times, moment(c.settled), moment(c.now), s.MaxLate.Std())
		text := func(at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return at.UTC().Format("2006-01-02 15:04:05")
		}
		if text(at) != c.at || missed != c.missed || text(next) != c.next {
			t.Errorf("from %s at %s: due %q, %d missed, next %q; want %q, %d, %q", c.settled, c.now, text(at), missed, text(next), c.at, c.missed, c.next)
		}
	}
}

func openDatabase(t *testing.T) store.Database {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "record.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := (persistence.Recorded{Transports: []string{"sms"}}).Note(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// replica is a worker that looks when it is told to.
func replica(t *testing.T, db store.Database, schedules string) *runner {
	t.Helper()
	s, err := load(t, "timezone: Africa/Johannesburg\nschedules:\n"+schedules)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Worker(worker.Dependencies{Name: "times", Record: db, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return w.(*runner)
}

// Replicas that look at the same moment send each time once, also when one of them
// begins anew.
func TestReplicas(t *testing.T) {
	const minutes, replicas = 5, 3
	db := openDatabase(t)
	var all []*runner
	for range replicas {
		all = append(all, replica(t, db, "  tick: {cron: '* * * * *', transport: sms, to: ['+27831234567', '+27831234568'], text: tick}\n"))
	}
	now := time.Now().Truncate(time.Minute)
	for minute := range minutes + 1 { // the first sets the beginning
		if minute == minutes/2 {
			all[0] = replica(t, db, "  tick: {cron: '* * * * *', transport: sms, to: ['+27831234567', '+27831234568'], text: tick}\n")
		}
		var group sync.WaitGroup
		for _, r := range all {
			group.Go(func() {
				if next, err := r.look(t.Context(), now.Add(time.Duration(minute)*time.Minute)); err != nil || !next.Equal(now.Add(time.Duration(minute+1)*time.Minute)) {
					t.Errorf("looks again at %s, %v", next, err)
				}
			})
		}
		group.Wait()
	}
	list, err := db.List(t.Context(), 100)
	if err != nil || len(list) != minutes {
		t.Fatalf("%d broadcasts, %v; want %d", len(list), err, minutes)
	}
	for _, b := range list {
		if b.Name != "times/tick" || b.Total != 2 || b.Text != "tick" {
			t.Errorf("sent %+v", b)
		}
	}
	entries, err := Book{db}.List(t.Context())
	if err != nil || len(entries) != 1 || entries[0].Broadcast != list[0].ID || !entries[0].Last.Equal(now.Add(minutes*time.Minute)) {
		t.Errorf("listed %+v, %v", entries, err)
	}
}

// A paused schedule sends nothing, and does not make up for it.
func TestPause(t *testing.T) {
	db := openDatabase(t)
	r := replica(t, db, "  tick: {cron: '* * * * *', transport: sms, to: ['+27831234567'], text: tick}\n")
	now := time.Now().Truncate(time.Minute)
	look := func(minute int, want int) {
		t.Helper()
		if _, err := r.look(t.Context(), now.Add(time.Duration(minute)*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if list, err := db.List(t.Context(), 100); err != nil || len(list) != want {
			t.Errorf("minute %d: %d broadcasts, %v; want %d", minute, len(list), err, want)
		}
	}
	book := Book{db}
	if err := book.Pause(t.Context(), "times/tock"); err == nil {
		t.Error("a schedule that nobody has is paused")
	}
	look(0, 0)
	look(1, 1)
	if err := book.Pause(t.Context(), "times/tick"); err != nil {
		t.Fatal(err)
	}
	look(2, 1)
	look(3, 1)
	if entries, err := book.List(t.Context()); err != nil || !entries[0].Paused {
		t.Errorf("listed %+v, %v", entries, err)
	}
	if err := book.Resume(t.Context(), "times/tick"); err != nil {
		t.Fatal(err)
	}
	look(3, 1)
	look(4, 2)
}

// A list that cannot be read is tried again, and read anew each time.
func TestFile(t *testing.T) {
	db := openDatabase(t)
	file := filepath.Join(t.TempDir(), "people.csv")
	r := replica(t, db, "  tick: {cron: '* * * * *', from_file: "+file+", text: 'Hi {{name}}'}\n")
	now := time.Now().Truncate(time.Minute)
	look := func(minute int) error {
		_, err := r.look(t.Context(), now.Add(time.Duration(minute)*time.Minute))
		return err
	}
	if err := look(0); err != nil {
		t.Fatal(err)
	}
	if err := look(1); err == nil {
		t.Fatal("a list that is not there is no error")
	}
	for people := 1; people <= 2; people++ {
		text := "address,transport,name\n"
		for i := range people {
			text += fmt.Sprintf("+2783123456%d,sms,N%d\n", i, i)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := look(people); err != nil {
			t.Fatal(err)
		}
		list, err := db.List(t.Context(), 100)
		if err != nil || len(list) != people || list[0].Total != int64(people) {
			t.Errorf("sent %+v, %v", list, err)
		}
	}
}

// The worker is ready though it takes nothing from queues, wakes up by itself, and says
// what it cannot send.
func TestRun(t *testing.T) {
	db := openDatabase(t)
	s := New()
	classes := fleet.Classes{Workers: map[string]fleet.Class[fleet.Standalone]{"scheduler": {New: func() fleet.Standalone { return s }}}}
	dir := t.TempDir()
	text := "worker_class: scheduler\nschedules:\n" +
		"  good: {cron: '* * * * *', transport: sms, to: ['+27831234567'], text: now}\n" +
		"  bad: {cron: '* * * * *', transport: nobody, to: ['+27831234567'], text: now}\n"
	if err := os.WriteFile(filepath.Join(dir, "times.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	defs, err := classes.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.plans {
		s.plans[i].times = once(time.Now().Add(time.Second))
	}
	b := memory.New(memory.Settings{})
	process := fleet.Process{Classes: classes, Broker: b, State: db, Record: db, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- process.Run(ctx, defs) }()
	testutil.Eventually(t, "it is sent, and the other one is complained of", func() bool {
		list, err := db.List(t.Context(), 10)
		status := process.Status()
		return err == nil && len(list) == 1 && list[0].Name == "times/good" && len(status.NotReady) == 0 &&
			len(status.Workers[0].Dependencies) == 1 && strings.Contains(status.Workers[0].Dependencies[0].Reason, `a transport "nobody"`)
	})
	cancel()
	if err := errors.Join(<-done, b.Close(t.Context())); err != nil {
		t.Error(err)
	}
}
