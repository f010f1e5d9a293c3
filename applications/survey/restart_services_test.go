//go:build services

package survey_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"switchboard/applications/applicationtest"
	"switchboard/applications/survey"
	"switchboard/message"
	"switchboard/store/postgres"
	"switchboard/worker"
)

// A person goes on after a restart where she was, and her answers can be exported.
func TestRestartOnPostgreSQL(t *testing.T) {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		t.Fatal("DATABASE_URL is not set; run with scripts/services run")
	}
	results := "t" + message.NewID()
	say := func(text, want string) {
		t.Helper()
		db, err := postgres.Open(t.Context(), postgres.Settings{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		app := open(t, strings.Replace(file, "results: health", "results: "+results, 1))
		env := worker.Dependencies{Name: "w", State: db}.Env()
		env.Now = time.Now
		if err := app.Provision(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		replies, err := app.Receive(t.Context(), applicationtest.From("+1", text))
		if err != nil || len(replies) != 1 || replies[0].Content != want {
			t.Fatalf("%q was answered with %q, %v", text, applicationtest.Texts(replies), err)
		}
		if text != "30" {
			return
		}
		own := worker.SharedState(db, survey.Scope(results))
		var out strings.Builder
		if n, err := survey.Export(t.Context(), own, &out, true); err != nil || n != 1 || !strings.Contains(out.String(), ",Ben,Male,30,") {
			t.Errorf("got %d, %v\n%s", n, err, out.String())
		}
		left, err := own.Range(t.Context(), "", "\xff", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range left {
			_ = own.Delete(t.Context(), e.Key)
		}
	}
	say("hi", "Hello.\nName?")
	say("Ben", "Sex, Ben?\n1. Female\n2. Male")
	say("male", "Age?")
	say("30", "Thanks, Ben.")
}
