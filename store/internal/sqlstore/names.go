package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// names remembers the numbers of backends and connections, which never change.
type names struct {
	mu          sync.Mutex
	backends    map[string]int64
	connections map[connection]int64
}

type connection struct {
	backend  int64
	identity string
}

// maxCachedIDs bounds each memory; when one is full it begins anew.
const maxCachedIDs = 100_000

func remember[K comparable](known *map[K]int64, key K, id int64) {
	if *known == nil || len(*known) >= maxCachedIDs {
		*known = map[K]int64{}
	}
	(*known)[key] = id
}

// backendIDs finds the numbers of backends, and gives those that are new one.
func (db *DB) backendIDs(ctx context.Context, wanted []string) (map[string]int64, error) {
	found := map[string]int64{}
	var missing [][]any
	db.names.mu.Lock()
	for _, name := range wanted {
		if id, ok := db.names.backends[name]; ok {
			found[name] = id
		} else if _, twice := found[name]; !twice {
			found[name] = 0
			missing = append(missing, []any{name})
		}
	}
	db.names.mu.Unlock()
	err := db.insertAndFind(ctx, missing, backendIDTable, func(rows *sql.Rows) error {
		var name string
		var id int64
		err := rows.Scan(&id, &name)
		found[name] = id
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("numbering backends: %w", err)
	}
	db.names.mu.Lock()
	defer db.names.mu.Unlock()
	for _, row := range missing {
		name := row[0].(string)
		remember(&db.names.backends, strings.Clone(name), found[name])
	}
	return found, nil
}

// connectionIDs finds the numbers of connections, and gives those that are new
// one.
func (db *DB) connectionIDs(ctx context.Context, wanted []connection) (map[connection]int64, error) {
	found := map[connection]int64{}
	var missing [][]any
	db.names.mu.Lock()
	for _, c := range wanted {
		if id, ok := db.names.connections[c]; ok {
			found[c] = id
		} else if _, twice := found[c]; !twice {
			found[c] = 0
			missing = append(missing, []any{c.identity, c.backend})
		}
	}
	db.names.mu.Unlock()
	err := db.insertAndFind(ctx, missing, connectionIDTable, func(rows *sql.Rows) error {
		var c connection
		var id int64
		err := rows.Scan(&id, &c.identity, &c.backend)
		found[c] = id
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("numbering connections: %w", err)
	}
	db.names.mu.Lock()
	defer db.names.mu.Unlock()
	for _, row := range missing {
		c := connection{row[1].(int64), row[0].(string)}
		id := found[c]
		// The text may be a part of a whole body, which is not to be kept for it.
		c.identity = strings.Clone(c.identity)
		remember(&db.names.connections, c, id)
	}
	return found, nil
}

// idTable is a table in which names have numbers.
type idTable struct {
	columns string
	types   []Type
	insert  string
	find    string
}

var backendIDTable = idTable{
	columns: "name",
	types:   []Type{Text},
	insert:  "INSERT INTO backend (name) SELECT name FROM r WHERE true ON CONFLICT DO NOTHING",
	find:    "SELECT b.id, b.name FROM r JOIN backend b ON b.name = r.name",
}

var connectionIDTable = idTable{
	columns: "identity, backend_id",
	types:   []Type{Text, Int},
	insert: `INSERT INTO connection (identity, backend_id) SELECT identity, backend_id FROM r
		WHERE NOT EXISTS (SELECT 1 FROM connection c WHERE c.identity = r.identity AND c.backend_id = r.backend_id)
		ON CONFLICT DO NOTHING`,
	find: `SELECT c.id, c.identity, c.backend_id FROM r
		JOIN connection c ON c.identity = r.identity AND c.backend_id = r.backend_id`,
}

// number inserts the names that are new, outside of any transaction so that
// nobody waits for them, and finds the numbers of all.
func (db *DB) insertAndFind(ctx context.Context, missing [][]any, n idTable, scan func(*sql.Rows) error) error {
	slices.SortFunc(missing, func(a, b []any) int { return cmp.Compare(a[0].(string), b[0].(string)) })
	for part := range db.chunks(missing) {
		with, args := db.with("r", n.columns, n.types, part)
		err := db.retry(ctx, func() error {
			_, err := db.exec(ctx, db.Write, with+n.insert, args...)
			return err
		})
		if err != nil {
			return err
		}
		if err := db.query(ctx, db.Write, scan, with+n.find, args...); err != nil {
			return err
		}
	}
	return nil
}
