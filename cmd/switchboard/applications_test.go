package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/operate/explain"
	"switchboard/persistence"
	"switchboard/store/sqlite"
)

// The conversations with the applications of configs are as their files say.
func TestConversations(t *testing.T) {
	for _, dir := range []string{"applications", "demo"} {
		files, err := explain.SpecFiles("../../configs/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			spec, err := explain.ReadSpec(file)
			if err != nil {
				t.Fatal(err)
			}
			results, err := spec.Run(t.Context(), classes())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if !r.Passed {
					t.Errorf("%s: %s: %+v", r.At, r.Name, r.Problems)
				}
			}
		}
	}
}

// Operators look after the lists of who sent STOP.
func TestOptOuts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	env := []string{"DATABASE_URL=sqlite:" + path}
	program(t, env, "migrate")
	db, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(persistence.Recorded{Transports: []string{"sms"}}.Note(t.Context(), db), db.Close()); err != nil {
		t.Fatal(err)
	}
	program(t, env, "optouts", "add", "--country", "ZA", "0821234567", "+27820000001")
	file := filepath.Join(t.TempDir(), "more.csv")
	if err := os.WriteFile(file, []byte("address,when\n\"+27820000002\",x\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := program(t, env, "optouts", "import", "--transport", "sms", file); !strings.Contains(out, "put 1 line on list default") {
		t.Errorf("import says %q", out)
	}
	program(t, env, "optouts", "remove", "27820000001")
	if out := program(t, env, "optouts", "list"); !strings.Contains(out, "operator") || !strings.Contains(out, "27821234567") || strings.Contains(out, "27820000001") {
		t.Errorf("list says %q", out)
	}
	if out := program(t, env, "optouts", "export"); strings.Count(out, "\n") != 2 {
		t.Errorf("export says %q", out)
	}
}
