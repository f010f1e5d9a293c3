package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"switchboard/internal/msisdn"
	"switchboard/store"
)

var _ store.People = (*DB)(nil)

// connectionID returns the id of an address, which it stores if it is new.
func (db *DB) connectionID(ctx context.Context, a store.Address) (int64, error) {
	if a.Backend == "" || a.Identity == "" || len(a.Identity) > maxAddress {
		return 0, fmt.Errorf("address %.40q on %.40q: both are needed, and at most %d bytes", a.Identity, a.Backend, maxAddress)
	}
	name := store.Printable(a.Backend)
	backends, err := db.backendIDs(ctx, []string{name})
	if err != nil {
		return 0, err
	}
	c := connection{backends[name], store.Printable(a.Identity)}
	ids, err := db.connectionIDs(ctx, []connection{c})
	return ids[c], err
}

// SaveContact implements store.People.
func (db *DB) SaveContact(ctx context.Context, c store.Contact) (int64, error) {
	ids := make([]int64, len(c.Connections))
	for i, a := range c.Connections {
		id, err := db.connectionID(ctx, a)
		if err != nil {
			return 0, fmt.Errorf("saving contact: %w", err)
		}
		ids[i] = id
	}
	id := c.ID
	err := db.transact(ctx, func(tx *sql.Tx) error {
		var err error
		if id, err = db.saveContact(ctx, tx, &c); err != nil {
			return err
		}
		if _, err := db.exec(ctx, tx, "UPDATE connection SET contact_id = NULL WHERE contact_id = $1", id); err != nil {
			return err
		}
		for _, connection := range ids {
			if _, err := db.exec(ctx, tx, "UPDATE connection SET contact_id = $1 WHERE id = $2", id, connection); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("saving contact: %w", err)
	}
	return id, nil
}

func (db *DB) saveContact(ctx context.Context, tx *sql.Tx, c *store.Contact) (id int64, err error) {
	name, language := store.Printable(c.Name), store.Printable(c.Language)
	if c.ID == 0 {
		err = db.row(ctx, tx, "INSERT INTO contact (name, language, opted_out) VALUES ($1, $2, $3) RETURNING id",
			name, language, c.OptedOut).Scan(&id)
		return id, err
	}
	n, err := db.exec(ctx, tx, "UPDATE contact SET name = $1, language = $2, opted_out = $3 WHERE id = $4",
		name, language, c.OptedOut, c.ID)
	if err == nil && n == 0 {
		err = fmt.Errorf("contact %d: %w", c.ID, store.ErrNotFound)
	}
	return c.ID, err
}

// ContactOf implements store.People.
func (db *DB) ContactOf(ctx context.Context, a store.Address) (*store.Contact, error) {
	backend, identity := store.Printable(a.Backend), store.Printable(a.Identity)
	_, countries, err := db.countries(ctx, db.Read)
	if err != nil {
		return nil, fmt.Errorf("contact of %.80q on %.80q: %w", a.Identity, a.Backend, err)
	}
	c := new(store.Contact)
	err = db.row(ctx, db.Read, `SELECT k.id, k.name, k.language, k.opted_out FROM contact k
		JOIN connection c ON c.contact_id = k.id JOIN backend b ON b.id = c.backend_id
		WHERE (c.identity = $1 OR c.normal = $2) AND b.name = $3 ORDER BY c.identity = $4 DESC, c.id LIMIT 1`,
		identity, db.numbers.normal(countries[backend], identity), backend, identity).
		Scan(&c.ID, &c.Name, &c.Language, &c.OptedOut)
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("contact of %.80q on %.80q: %w", a.Identity, a.Backend, err)
	}
	err = db.query(ctx, db.Read, func(rows *sql.Rows) error {
		var a store.Address
		err := rows.Scan(&a.Backend, &a.Identity)
		c.Connections = append(c.Connections, a)
		return err
	}, `SELECT b.name, c.identity FROM connection c JOIN backend b ON b.id = c.backend_id
		WHERE c.contact_id = $1 ORDER BY b.name, c.identity`, c.ID)
	if err != nil {
		return nil, fmt.Errorf("reading a contact's connections: %w", err)
	}
	return c, nil
}

// OptOut implements store.People.
func (db *DB) OptOut(ctx context.Context, a store.Address, out bool) error {
	id, err := db.connectionID(ctx, a)
	if err != nil {
		return fmt.Errorf("opting out: %w", err)
	}
	err = db.transact(ctx, func(tx *sql.Tx) error {
		var contact, backend int64
		var normal string
		err := db.row(ctx, tx, "SELECT contact_id, backend_id, normal FROM connection WHERE id = $1"+db.Dialect.ForUpdate("connection"), id).
			Scan(scanNull[int64]{&contact}, &backend, &normal)
		if err != nil {
			return err
		}
		same := "SELECT contact_id FROM connection WHERE backend_id = $1 AND normal = $2 AND contact_id IS NOT NULL"
		if contact == 0 {
			if contact, err = db.contactOfSame(ctx, tx, same, backend, normal); err != nil {
				return err
			}
			if _, err = db.exec(ctx, tx, "UPDATE connection SET contact_id = $1 WHERE id = $2", contact, id); err != nil {
				return err
			}
		}
		_, err = db.exec(ctx, tx, "UPDATE contact SET opted_out = $3 WHERE id IN ("+same+")", backend, normal, out)
		return err
	})
	if err != nil {
		return fmt.Errorf("opting out: %w", err)
	}
	return nil
}

// contactOfSame is the contact of another spelling of the address, or a new one.
func (db *DB) contactOfSame(ctx context.Context, tx *sql.Tx, same string, backend int64, normal string) (contact int64, err error) {
	err = db.row(ctx, tx, same+" ORDER BY id LIMIT 1", backend, normal).Scan(&contact)
	if errors.Is(err, sql.ErrNoRows) {
		return db.saveContact(ctx, tx, new(store.Contact))
	}
	return contact, err
}

// SetCountry implements store.People.
func (db *DB) SetCountry(ctx context.Context, backend, country string) error {
	country, err := msisdn.Country(country)
	if err != nil {
		return fmt.Errorf("the country of backend %.80q %w", backend, err)
	}
	name := store.Printable(backend)
	ids, err := db.backendIDs(ctx, []string{name})
	if err != nil {
		return fmt.Errorf("setting a backend's country: %w", err)
	}
	id := ids[name]
	changed, err := db.exec(ctx, db.Write, "UPDATE backend SET country = $1 WHERE id = $2 AND country <> $3", country, id, country)
	for last := int64(0); err == nil && changed > 0; {
		last, changed, err = db.normalize(ctx, id, country, last)
	}
	if err != nil {
		return fmt.Errorf("setting a backend's country: %w", err)
	}
	return nil
}

// normalizePart is how many connections normalize changes at once.
const normalizePart = 5000

// normalize sets the normal form of a backend's connections after the id last, and returns
// the last one and how many it found.
func (db *DB) normalize(ctx context.Context, backend int64, country string, last int64) (int64, int64, error) {
	var part [][]any
	err := db.query(ctx, db.Write, func(rows *sql.Rows) error {
		var id int64
		var identity string
		err := rows.Scan(&id, &identity)
		part, last = append(part, []any{id, db.numbers.normal(country, identity)}), id
		return err
	}, "SELECT id, identity FROM connection WHERE backend_id = $1 AND id > $2 ORDER BY id"+limit(normalizePart), backend, last)
	if err != nil || len(part) == 0 {
		return last, 0, err
	}
	return last, int64(len(part)), db.transact(ctx, func(tx *sql.Tx) error {
		return newBatch(db, tx, time.Time{}).each(ctx, part, "id, normal", []Type{Int, Text},
			"UPDATE connection AS c SET normal = r.normal FROM r WHERE c.id = r.id")
	})
}
