package sqlite_test

import (
	"strings"
	"testing"

	"switchboard/store/sqlite"
)

// A page of a listing is read in the order of an index: see the same test for
// PostgreSQL.
func TestListingsHaveIndexes(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Memory, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for condition, index := range map[string]string{
		"true": "transmission_date", "t.backend_id = 1": "transmission_backend", "t.direction = 'I'": "transmission_inbound",
		"t.status = 'E'": "transmission_status",
	} {
		rows, err := db.Read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN SELECT t.id FROM transmission t WHERE "+condition+
			" AND (t.date, t.id) < (1, 'x') ORDER BY t.date DESC, t.id DESC LIMIT 50")
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var line string
			if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan.String(), index+" ") || strings.Contains(plan.String(), "TEMP B-TREE") {
			t.Errorf("where %s:\n%s", condition, plan.String())
		}
	}
}
