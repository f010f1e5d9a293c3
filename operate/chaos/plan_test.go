package chaos

import (
	"fmt"
	"testing"
	"time"
)

// A seed names one plan, another seed another, and servers are left alone where they are not
// the runner's.
func TestPlan(t *testing.T) {
	t.Parallel()
	const long = time.Hour
	first := Plan(7, long, true)
	if fmt.Sprint(first) != fmt.Sprint(Plan(7, long, true)) {
		t.Error("the same seed drew two plans")
	}
	if fmt.Sprint(first) == fmt.Sprint(Plan(8, long, true)) {
		t.Error("two seeds drew one plan")
	}
	seen := map[Kind]bool{}
	for _, e := range first {
		seen[e.Kind] = true
	}
	for _, f := range faults {
		if !seen[f.kind] {
			t.Errorf("an hour has no %s", f.kind)
		}
	}
	for _, e := range Plan(7, long, false) {
		if e.Target == linkRabbit || e.Target == linkPostgres {
			t.Errorf("a server that is not ours: %s", e)
		}
	}
}

// Each broken promise is named.
func TestFailed(t *testing.T) {
	t.Parallel()
	good := Result{Accepted: 10, Again: 3, Bound: 3, Poison: 2, Dead: 3, Recorded: map[string]int{"I R": 11, "O D": 11}}
	if failed := good.Failed(); len(failed) > 0 {
		t.Errorf("nothing is wrong, and it says %q", failed)
	}
	for name, spoil := range map[string]func(*Result){
		"idle": func(r *Result) { r.Accepted = 0 }, "refused": func(r *Result) { r.Refused = 1 },
		"lost": func(r *Result) { r.Lost = []string{"chaos 1"} }, "again": func(r *Result) { r.Again = 4 },
		"poison": func(r *Result) { r.Dead = 1 }, "dead": func(r *Result) { r.OtherDead = []string{"a body"} },
		"missing": func(r *Result) { r.Missing = 1 }, "stuck": func(r *Result) { r.Stuck = 1 }, "orphan": func(r *Result) { r.Orphan = 1 },
		"record": func(r *Result) { r.Recorded = map[string]int{"I R": 9} }, "open": func(r *Result) { r.Recorded = map[string]int{"I R": 10, "O P": 1} },
		"problem": func(r *Result) { r.Problems = []string{"a process ended by itself"} },
	} {
		bad := good
		spoil(&bad)
		if failed := bad.Failed(); len(failed) != 1 {
			t.Errorf("%s: %q", name, failed)
		}
	}
}
