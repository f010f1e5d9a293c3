package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"switchboard/applications/applicationtest"
	surveys "switchboard/applications/survey"
	"switchboard/worker"
)

// What people answered is exported, to the terminal or to a file.
func TestSurveyExport(t *testing.T) {
	s := newSender(t)
	app := surveys.New()
	yaml := "results: health\nquestions:\n  age: {ask: How old are you}\n  fever: {ask: Have you a fever, choices: ['Yes', 'No']}\n"
	if err := applicationtest.Configure(app, yaml); err != nil {
		t.Fatal(err)
	}
	db := s.open()
	env := worker.Dependencies{Name: "health", State: db}.Env()
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	env.Now = func() time.Time { return now }
	if err := app.Provision(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	for _, said := range [][2]string{{"+1", "hello"}, {"+1", "31"}, {"+2", "hello"}, {"+1", "no"}, {"+2", "40"}} {
		m := applicationtest.From(said[0], said[1])
		if _, err := app.Receive(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	const head, first, second = "person,transport,language,started,answered,done,age,fever\n",
		"+1,app,,2026-11-27T09:00:00Z,2026-11-27T09:03:00Z,true,31,No\n", "+2,app,,2026-11-27T09:02:00Z,2026-11-27T09:04:00Z,false,40,\n"
	if got := s.must("survey", "export", "health"); got != head+first+second {
		t.Errorf("exported\n%s", got)
	}
	file := filepath.Join(t.TempDir(), "health.csv")
	s.must("survey", "export", "health", "--done", "-o", file)
	if text, err := os.ReadFile(file); err != nil || string(text) != head+first {
		t.Errorf("the file has\n%s%v", text, err)
	}
}
