//go:build services

package postgres_test

import (
	"context"
	"strings"
	"testing"
)

// A page of a listing is read from an index, without other rows, also where a broadcast's
// messages share one date.
func TestListingsHaveIndexes(t *testing.T) {
	name := schema(t)
	if err := open(t, name).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := connect(t, name)
	for _, kind := range []string{"seqscan", "bitmapscan", "sort", "incremental_sort"} {
		if _, err := c.Exec(t.Context(), "SET enable_"+kind+" = off"); err != nil { // for what is possible with no rows
			t.Fatal(err)
		}
	}
	for _, condition := range []string{
		"true", "t.backend_id = 1", "t.direction = 'I'", "t.status = 'Q'", "t.status = 'P'", "t.status = 'E'",
		"t.status = 'R' AND t.direction = 'I'",
	} {
		rows, err := c.Query(context.Background(), "EXPLAIN SELECT t.id FROM transmission t WHERE "+condition+
			" AND (t.date, t.id) < (now(), 'x') ORDER BY t.date DESC, t.id DESC LIMIT 50")
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(plan.String(), "Filter: (status = 'R'", "") // nearly all that people wrote
		if strings.Contains(text, "Sort Key") && !strings.Contains(text, "Merge Append") || strings.Contains(text, "Filter:") {
			t.Errorf("where %s:\n%s", condition, plan.String())
		}
	}
}
