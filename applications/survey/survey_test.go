package survey_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/applications/applicationtest"
	"switchboard/applications/survey"
	"switchboard/message"
	"switchboard/store/memory"
	"switchboard/worker"
)

const file = `
results: health
welcome: Hello.
thanks: "Thanks, {name}."
questions:
  name: {ask: "Name?", check: len(name) > 1, invalid: Two letters at least.}
  sex: {ask: "Sex, {name}?", choices: [Female, Male]}
  age: {ask: "Age?", min: 0, max: 120}
  children: {ask: "Children?", min: 0, when: sex == "Female" and int(age) > 14}
`

func open(t *testing.T, yaml string) *survey.Application {
	t.Helper()
	app := survey.New()
	if err := applicationtest.Configure(app, yaml); err != nil {
		t.Fatal(err)
	}
	return app
}

func TestTalks(t *testing.T) {
	w := applicationtest.Start(t, open(t, file))
	w.Talk("a",
		"hi", "Hello.\nName?",
		"x", "Two letters at least.\nName?",
		"Ann", "Sex, Ann?\n1. Female\n2. Male",
		"3", "Sex, Ann?\n1. Female\n2. Male",
		"female", "Age?",
		"121", "Age?",
		"NaN", "Age?",
		"30", "Children?",
		"2", "Thanks, Ann.",
		"again", "Thanks, Ann.")
	w.Talk("b", "hi", "Hello.\nName?", "Ben", "Sex, Ben?\n1. Female\n2. Male", "2", "Age?", "30", "Thanks, Ben.")
	// A session that was cut goes on where it was: the code that is dialled is no answer.
	dial := applicationtest.From("c", "*120#")
	dial.SessionEvent = message.SessionNew
	w.Receive(dial)
	w.Talk("c", "Cid", "Sex, Cid?\n1. Female\n2. Male")
	again := applicationtest.From("c", "*120#")
	again.SessionEvent = message.SessionNew
	if got := applicationtest.Texts(w.Receive(again)); got[0] != "Sex, Cid?\n1. Female\n2. Male" {
		t.Errorf("got %q", got)
	}
}

func TestLanguages(t *testing.T) {
	w := applicationtest.Start(t, open(t, `
results: r
again: true
languages: {en: English, sw: Kiswahili}
questions:
  colour: {ask: {en: "Colour?", sw: "Rangi?"}, choices: [{en: Red, sw: Nyekundu}, {en: Blue, sw: Bluu}]}
thanks: {en: Thanks, sw: Asante}
`))
	w.Talk("a",
		"hi", "1. English\n2. Kiswahili", "3", "1. English\n2. Kiswahili", "2", "Rangi?\n1. Nyekundu\n2. Bluu", "bluu", "Asante",
		"hi", "1. English\n2. Kiswahili", "1", "Colour?\n1. Red\n2. Blue", "1", "Thanks")
}

// What is stored can be exported, also of who is not done.
func TestExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := memory.New()
		defer func() { _ = state.Close() }()
		app := open(t, file)
		env := worker.Dependencies{Name: "w", State: state}.Env()
		env.Now = time.Now
		if err := app.Provision(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		say := func(person, text string) {
			m := applicationtest.From(person, text)
			for range 2 { // a second copy is no second answer
				if _, err := app.Receive(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		for _, text := range []string{"hi", "=Ann", "1", "12"} {
			say("+1", text)
		}
		say("+2", "hi")
		say("+2", "B,\"en")
		say("+3", "hi") // answers nothing
		var all, done strings.Builder
		own := worker.SharedState(state, survey.Scope("health"))
		n, err := survey.Export(t.Context(), own, &all, false)
		want := `person,transport,language,started,answered,done,name,sex,age,children
+1,app,,2000-01-01T00:00:00Z,2000-01-01T00:00:03Z,true,'=Ann,Female,12,
+2,app,,2000-01-01T00:00:04Z,2000-01-01T00:00:05Z,false,"B,""en",,,
`
		if err != nil || n != 2 || all.String() != want {
			t.Errorf("got %d, %v\n%s\nwant\n%s", n, err, all.String(), want)
		}
		if n, err := survey.Export(t.Context(), own, &done, true); err != nil || n != 1 || strings.Contains(done.String(), "+2") {
			t.Errorf("got %d, %v\n%s", n, err, done.String())
		}
	})
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                                 "results: must be a name",
		"results: r":                       "questions: is missing",
		"results: r\nquestions: {from: x}": "from is what every message has",
		"results: r\nquestions: {a: {ask: x, chioces: [b]}}":   `did you mean "choices"?`,
		"results: r\nquestions: {a: {ask: x, choices: [b]}}":   "choices: must be two at least",
		"results: r\nquestions: {a: {ask: x, min: 2, max: 1}}": "min: is above max",
		"results: r\nquestions: {a: {ask: x, when: b == '1'}}": "questions.a.when: unknown name b",
		"results: r\nquestions: {a: '{b}'}":                    "questions.a.ask: nothing is called {b}",
		"results: r\nquestions: {a: {min: 1}}":                 "questions.a.ask: is missing",
	} {
		if err := applicationtest.Configure(survey.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
	for yaml, want := range map[string]string{
		"results: r\nquestions: {a: {ask: x, when: b == '1'}, b: y}":                                    "asks for b, which is not answered by then",
		"results: r\nlanguages: {en: E, sw: S}\nthanks: {en: x, sw: y}\nquestions: {a: {ask: {en: x}}}": "questions.a.ask: has no text in sw",
	} {
		app := survey.New()
		if err := applicationtest.Configure(app, yaml); err != nil || !strings.Contains(fmt.Sprint(app.Lint()), want) {
			t.Errorf("%q: %v, %v, not %s", yaml, err, app.Lint(), want)
		}
	}
}
