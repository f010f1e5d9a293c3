package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"switchboard/store"
	"switchboard/store/postgres"
)

const (
	lookupSchema = "bench_lookup"
	// lookups is how many look-ups of each kind are measured.
	lookups = 300
	// generated is how many messages one statement of the generator makes.
	generated = 200_000
)

// lookupSection fills a record with s.rows messages, and looks things up.
func lookupSection(ctx context.Context, s settings) (string, error) {
	l, err := newLedger(ctx, s, lookupSchema)
	if err != nil {
		return "", err
	}
	defer l.drop()
	if err := generate(ctx, l, s.rows); err != nil {
		return "", fmt.Errorf("generating %d messages: %w", s.rows, err)
	}
	db, err := postgres.Open(ctx, postgres.Settings{URL: s.databaseURL, Schema: lookupSchema})
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	var text strings.Builder
	text.WriteString(fmt.Sprintf("The record holds %d messages of %d persons (as many transmissions, and an event for each message\n"+
		"out); %d look-ups of each kind, at random, one after the other.\n\n", s.rows, people, lookups))
	text.WriteString("| look-up | median | 99 of 100 |\n|---|---:|---:|\n")
	for _, kind := range []struct {
		name string
		find func(i int) error
	}{
		{"`messages --address`, the newest 50", func(i int) error { return page(ctx, db, store.Filter{Address: person(i), Limit: 50}) }},
		{"`messages --transport --state E`, the newest 50", func(int) error {
			return page(ctx, db, store.Filter{Backend: "bench", Status: store.StatusError, Limit: 50})
		}},
		{"`messages`, the newest 50", func(int) error { return page(ctx, db, store.Filter{Limit: 50}) }},
		{"`trace` by message ID", func(i int) error { return trace(ctx, db, messageID(i)) }},
		{"`trace` by provider ID", func(i int) error { return trace(ctx, db, fmt.Sprint("p", i|1)) }},
		{"`trace` by address", func(i int) error { return trace(ctx, db, person(i)) }},
	} {
		median, slow, err := timeLookups(s.rows, kind.find)
		if err != nil {
			return "", fmt.Errorf("%s: %w", kind.name, err)
		}
		text.WriteString(fmt.Sprintf("| %s | %.2f ms | %.2f ms |\n", kind.name, median.Seconds()*1e3, slow.Seconds()*1e3))
	}
	return strings.TrimRight(text.String(), "\n"), nil
}

func person(i int) string { return fmt.Sprintf("+27%09d", (i/2)%people) }

func messageID(i int) string {
	sum := md5.Sum(fmt.Append(nil, i))
	return hex.EncodeToString(sum[:])
}

// generate makes conversations, two messages each, over the last hours: even
// numbers came in, odd ones answer them.
func generate(ctx context.Context, l *ledger, rows int) error {
	now := time.Now().UTC()
	month := now.Year()*100 + int(now.Month())
	statements := []string{
		"INSERT INTO backend (name) VALUES ('bench')",
		fmt.Sprintf("INSERT INTO connection (identity, backend_id) SELECT '+27' || lpad(i::text, 9, '0'), 1 FROM generate_series(0, %d) i", people-1),
	}
	for from := 0; from < rows; from += generated {
		to := min(from+generated, rows) - 1
		at := fmt.Sprintf("now() - interval '2 hours' + i * interval '%d microseconds'", 3600*1_000_000/max(rows, 1))
		series := fmt.Sprintf("FROM generate_series(%d, %d) i", from, to)
		way := "CASE i %% 2 WHEN 0 THEN 'I' ELSE 'O' END"
		way = strings.ReplaceAll(way, "%%", "%")
		statements = append(statements, fmt.Sprintf(`INSERT INTO message (id, direction, month, status, text, own_address, in_response_to, body, date,
				updated, open_count, sent_count, done_count, error_count)
			SELECT md5(i::text), %s, %d, CASE i %% 2 WHEN 0 THEN 'R' ELSE 'D' END, 'balance please', '12345',
				CASE i %% 2 WHEN 1 THEN md5((i-1)::text) END, repeat('{"x": 1}', 60), %s, %s, 0, 0, 1, 0 %s`, way, month, at, at, series),
			fmt.Sprintf(`INSERT INTO transmission (id, direction, backend_id, month, message_id, connection_id, status, progress, attempt, reason,
				provider_id, application, date, updated)
			SELECT md5(i::text), %s, 1, %d, md5(i::text), 1 + (i/2) %% %d, CASE WHEN i %% 1000 = 1 THEN 'E' WHEN i %% 2 = 0 THEN 'R' ELSE 'D' END,
				CASE WHEN i %% 1000 = 1 THEN %d WHEN i %% 2 = 0 THEN %d ELSE %d END, 1, CASE WHEN i %% 1000 = 1 THEN 'no such subscriber' END,
				CASE i %% 2 WHEN 1 THEN 'p' || i END, 'app', %s, %s %s`, way, month, people,
				store.Refused, store.Processed, store.Delivered, at, at, series),
			fmt.Sprintf(`INSERT INTO event (id, month, message_id, direction, backend_id, type, provider_id, date, recorded)
			SELECT 'e' || i, %d, md5(i::text), 'O', 1, 'ack', 'p' || i, %s, %s %s WHERE i %% 2 = 1`, month, at, at, series))
	}
	statements = append(statements, "VACUUM ANALYZE message", "VACUUM ANALYZE transmission", "VACUUM ANALYZE event", "ANALYZE connection")
	for _, statement := range statements {
		if _, err := l.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%w in %.80s", err, statement)
		}
	}
	return nil
}

func page(ctx context.Context, db store.Finder, f store.Filter) error {
	n := 0
	for _, err := range db.Messages(ctx, f) {
		if err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return store.ErrNotFound
	}
	return nil
}

func trace(ctx context.Context, db store.Finder, key string) error {
	_, err := db.Trace(ctx, key)
	return err
}

// timeLookups is the median and the time that one of a hundred exceeds.
func timeLookups(rows int, find func(i int) error) (median, slow time.Duration, err error) {
	took := make([]time.Duration, lookups)
	for n := range took {
		i := rand.N(rows/2-1) * 2
		began := time.Now()
		if err := find(i); err != nil {
			return 0, 0, err
		}
		took[n] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], nil
}
