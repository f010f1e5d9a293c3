package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"switchboard/store"
)

var _ store.State = (*DB)(nil)

// Longer keys are stored by their hash; an index entry takes some 2,700 bytes at most.
const maxKey = 512

func stateKey(key string) []byte {
	if len(key) <= maxKey {
		return []byte(key)
	}
	sum := sha256.Sum256([]byte(key))
	return []byte(key[:maxKey-len(sum)*2] + hex.EncodeToString(sum[:]))
}

// ttlMicros is a TTL in microseconds, at least one; nil is for ever.
func ttlMicros(ttl time.Duration) any {
	if ttl == 0 {
		return nil
	}
	if us := ttl.Microseconds(); us != 0 {
		return us
	}
	return int64(1)
}

// Get implements store.State.
func (db *DB) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	found := make(map[string]string, len(keys))
	names := make(map[string]string, len(keys))
	rows := make([][]any, 0, len(keys))
	for _, key := range keys {
		stored := stateKey(key)
		if _, twice := names[string(stored)]; !twice {
			names[string(stored)] = key
			rows = append(rows, []any{stored})
		}
	}
	for part := range db.chunks(rows) {
		if err := db.getPart(ctx, part, names, found); err != nil {
			return nil, fmt.Errorf("reading state: %w", err)
		}
	}
	return found, nil
}

func (db *DB) getPart(ctx context.Context, part [][]any, names, found map[string]string) error {
	with, args := db.with("r", "key", []Type{Blob}, part)
	return db.query(ctx, db.Read, func(rows *sql.Rows) error {
		var key, value []byte
		err := rows.Scan(&key, &value)
		found[names[string(key)]] = string(value)
		return err
	}, with+`SELECT s.key, s.value FROM r JOIN state s ON s.key = r.key
		WHERE s.expires IS NULL OR s.expires > `+db.Dialect.Now(), args...)
}

// Set implements store.State.
func (db *DB) Set(ctx context.Context, entries ...store.Entry) error {
	rows := stateRows(entries)
	if len(rows) == 0 {
		return nil
	}
	err := db.retry(ctx, func() error {
		if len(rows) <= db.Dialect.MaxRows(len(rows[0])) {
			return db.setPart(ctx, db.Write, rows)
		}
		return db.once(ctx, func(tx *sql.Tx) error {
			for part := range db.chunks(rows) {
				if err := db.setPart(ctx, tx, part); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}

// stateRows sorts entries by key, so that two writers cannot deadlock.
func stateRows(entries []store.Entry) [][]any {
	last := make(map[string]store.Entry, len(entries))
	for _, e := range entries {
		last[string(stateKey(e.Key))] = e
	}
	rows := make([][]any, 0, len(last))
	for key, e := range last {
		rows = append(rows, []any{[]byte(key), []byte(e.Value), ttlMicros(e.TTL)})
	}
	slices.SortFunc(rows, func(a, b []any) int {
		return cmp.Compare(string(a[0].([]byte)), string(b[0].([]byte)))
	})
	return rows
}

func (db *DB) setPart(ctx context.Context, q querier, part [][]any) error {
	with, args := db.with("r", "key, value, ttl", []Type{Blob, Blob, Int}, part)
	_, err := db.exec(ctx, q, with+`INSERT INTO state (key, value, expires)
		SELECT key, value, `+db.Dialect.Now()+` + ttl FROM r WHERE true
		ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires`, args...)
	return err
}

// Add implements store.State.
func (db *DB) Add(ctx context.Context, e store.Entry) (value string, added bool, err error) {
	err = db.retry(ctx, func() error {
		value, added, err = db.add(ctx, e)
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("adding to state: %w", err)
	}
	return value, added, nil
}

func (db *DB) add(ctx context.Context, e store.Entry) (string, bool, error) {
	now := db.Dialect.Now()
	// An entry that expires between the two statements is not found by the second: try again.
	for range maxTries {
		n, err := db.exec(ctx, db.Write, `INSERT INTO state AS s (key, value, expires) VALUES ($1, $2, `+now+` + $3)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
			WHERE s.expires <= `+now, stateKey(e.Key), []byte(e.Value), ttlMicros(e.TTL))
		if err != nil || n == 1 {
			return e.Value, n == 1, err
		}
		var there []byte
		err = db.row(ctx, db.Write, `SELECT value FROM state WHERE key = $1 AND (expires IS NULL OR expires > `+now+`)`,
			stateKey(e.Key)).Scan(&there)
		if !errors.Is(err, sql.ErrNoRows) {
			return string(there), false, err
		}
	}
	return "", false, fmt.Errorf("key %.80q came and went %d times while it was added", e.Key, maxTries)
}

// Increment implements store.State.
func (db *DB) Increment(ctx context.Context, key string, by int64, ttl time.Duration) (sum int64, err error) {
	d := db.Dialect
	statement := `INSERT INTO state AS s (key, value, expires) VALUES ($1, ` + d.Bytes("$2") + `, ` + d.Now() + ` + $3)
		ON CONFLICT (key) DO UPDATE SET
		value = CASE WHEN s.expires <= ` + d.Now() + ` THEN excluded.value
			ELSE ` + d.Bytes(d.Integer("s.value")+" + "+d.Integer("excluded.value")) + ` END,
		expires = CASE WHEN s.expires <= ` + d.Now() + ` THEN excluded.expires ELSE s.expires END
		RETURNING ` + d.Integer("value")
	err = db.retry(ctx, func() error {
		return db.row(ctx, db.Write, statement, stateKey(key), by, ttlMicros(ttl)).Scan(&sum)
	})
	if err != nil {
		return 0, fmt.Errorf("incrementing %.80q: %w", key, err)
	}
	return sum, nil
}

// Range implements store.State.
func (db *DB) Range(ctx context.Context, from, to string, limit int) (list []store.Entry, err error) {
	err = db.query(ctx, db.Read, func(rows *sql.Rows) error {
		var key, value []byte
		err := rows.Scan(&key, &value)
		list = append(list, store.Entry{Key: string(key), Value: string(value)})
		return err
	}, `SELECT key, value FROM state WHERE key >= $1 AND key < $2 AND (expires IS NULL OR expires > `+db.Dialect.Now()+`)
		ORDER BY key LIMIT $3`, stateKey(from), stateKey(to), max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("listing state: %w", err)
	}
	return list, nil
}

// Delete implements store.State.
func (db *DB) Delete(ctx context.Context, keys ...string) error {
	entries := make([]store.Entry, len(keys))
	for i, key := range keys {
		entries[i].Key = key
	}
	for part := range db.chunks(stateRows(entries)) {
		with, args := db.with("r", "key, value, ttl", []Type{Blob, Blob, Int}, part)
		err := db.retry(ctx, func() error {
			_, err := db.exec(ctx, db.Write, with+`DELETE FROM state WHERE key IN (SELECT key FROM state
				WHERE key IN (SELECT key FROM r) ORDER BY key`+db.Dialect.ForUpdate("state")+`)`, args...)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting state: %w", err)
		}
	}
	return nil
}

// sweepBatch bounds a statement of Sweep, and so how long others wait for it.
const sweepBatch = 1000

// Sweep deletes expired entries and returns how many.
func (db *DB) Sweep(ctx context.Context) (int64, error) {
	var all int64
	for {
		n, err := db.exec(ctx, db.Write, `DELETE FROM state WHERE key IN (SELECT key FROM state
			WHERE expires <= `+db.Dialect.Now()+` ORDER BY expires LIMIT $1`+db.Dialect.SkipLocked("state")+`)`, sweepBatch)
		all += n
		if err != nil {
			return all, fmt.Errorf("deleting old state: %w", err)
		}
		if n < sweepBatch {
			return all, nil
		}
	}
}
