package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"switchboard/internal/msisdn"
)

type connection struct {
	backend  int64
	identity string
}

// numbers compare the addresses of a country; "" is none.
type numbers struct {
	mu        sync.Mutex
	byCountry map[string]*msisdn.Numbers
}

// normal is the form in which an address is compared.
func (n *numbers) normal(country, address string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := n.byCountry[country]
	if of == nil {
		of = msisdn.NewNumbers(country)
		if n.byCountry == nil {
			n.byCountry = map[string]*msisdn.Numbers{}
		}
		n.byCountry[country] = of
	}
	return of.Normal(address)
}

// countries returns the countries of backends, which are few, by id and by name.
func (db *DB) countries(ctx context.Context, q querier) (byID map[int64]string, byName map[string]string, err error) {
	byID, byName = map[int64]string{}, map[string]string{}
	return byID, byName, db.query(ctx, q, func(rows *sql.Rows) error {
		var id int64
		var name, country string
		err := rows.Scan(&id, &name, &country)
		byID[id], byName[name] = country, country
		return err
	}, "SELECT id, name, country FROM backend")
}

// ids finds the ids of names and inserts the new ones. Ids never change, so the newest are
// cached.
type ids[K comparable] struct {
	cache   *lru.Cache[K, int64]
	columns string
	types   []Type
	insert  string
	find    string // selects the id, then the columns
	row     func(K) []any
	// complete sets columns of rows that the database is needed for; it may be nil.
	complete func(ctx context.Context, db *DB, rows [][]any) error
	scan     func(*sql.Rows) (K, int64, error)
	clone    func(K) K // a copy for the cache, which must not keep a body alive
}

const maxCachedIDs = 100_000

func newBackends() *ids[string] {
	cache, _ := lru.New[string, int64](maxCachedIDs) // fails for a negative size alone
	return &ids[string]{
		cache: cache, columns: "name", types: []Type{Text},
		insert: `INSERT INTO backend (name) SELECT name FROM r
			WHERE NOT EXISTS (SELECT 1 FROM backend b WHERE b.name = r.name) ON CONFLICT DO NOTHING`,
		find: "SELECT b.id, b.name FROM r JOIN backend b ON b.name = r.name",
		row:  func(name string) []any { return []any{name} },
		scan: func(rows *sql.Rows) (name string, id int64, err error) {
			err = rows.Scan(&id, &name)
			return name, id, err
		},
		clone: strings.Clone,
	}
}

func newConnections() *ids[connection] {
	cache, _ := lru.New[connection, int64](maxCachedIDs) // fails for a negative size alone
	return &ids[connection]{
		cache: cache, columns: "identity, backend_id, normal", types: []Type{Text, Int, Text},
		insert: `INSERT INTO connection (identity, backend_id, normal) SELECT identity, backend_id, normal FROM r
			WHERE NOT EXISTS (SELECT 1 FROM connection c WHERE c.identity = r.identity AND c.backend_id = r.backend_id)
			ON CONFLICT DO NOTHING`,
		find: `SELECT c.id, c.identity, c.backend_id FROM r
			JOIN connection c ON c.identity = r.identity AND c.backend_id = r.backend_id`,
		row: func(c connection) []any { return []any{c.identity, c.backend, ""} },
		complete: func(ctx context.Context, db *DB, rows [][]any) error {
			countries, _, err := db.countries(ctx, db.Write)
			for _, row := range rows {
				row[2] = db.numbers.normal(countries[row[1].(int64)], row[0].(string))
			}
			return err
		},
		scan: func(rows *sql.Rows) (c connection, id int64, err error) {
			err = rows.Scan(&id, &c.identity, &c.backend)
			return c, id, err
		},
		clone: func(c connection) connection { return connection{c.backend, strings.Clone(c.identity)} },
	}
}

// of returns the ids of wanted. It inserts outside of transactions, so that recorders of the
// same new name do not wait for each other.
func (n *ids[K]) of(ctx context.Context, db *DB, wanted []K) (map[K]int64, error) {
	found := map[K]int64{}
	var missing [][]any
	for _, key := range wanted {
		if _, twice := found[key]; twice {
			continue
		}
		id, ok := n.cache.Get(key)
		if found[key] = id; !ok {
			missing = append(missing, n.row(key))
		}
	}
	if n.complete != nil && len(missing) > 0 {
		if err := n.complete(ctx, db, missing); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(missing, func(a, b []any) int { return cmp.Compare(a[0].(string), b[0].(string)) })
	for part := range db.chunks(missing) {
		with, args := db.with("r", n.columns, n.types, part)
		err := db.retry(ctx, func() error {
			_, err := db.exec(ctx, db.Write, with+n.insert, args...)
			return err
		})
		if err == nil {
			err = db.query(ctx, db.Write, func(rows *sql.Rows) error {
				key, id, err := n.scan(rows)
				found[key] = id
				n.cache.Add(n.clone(key), id)
				return err
			}, with+n.find, args...)
		}
		if err != nil {
			return nil, fmt.Errorf("finding ids of (%s): %w", n.columns, err)
		}
	}
	return found, nil
}

func (db *DB) backendIDs(ctx context.Context, wanted []string) (map[string]int64, error) {
	return db.backends.of(ctx, db, wanted)
}

func (db *DB) connectionIDs(ctx context.Context, wanted []connection) (map[connection]int64, error) {
	return db.connections.of(ctx, db, wanted)
}
