package autoreply_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/applications/applicationtest"
	"switchboard/applications/autoreply"
)

// The bubble's clock begins on Saturday, 2000-01-01 00:00 UTC.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := autoreply.New()
		if err := applicationtest.Configure(app, `
timezone: Africa/Johannesburg
once: 1h
replies:
  - {during: "sat 02:00-03:00", reply: "early, {from}"}
  - {during: "sat", reply: later}
`); err != nil {
			t.Fatal(err)
		}
		w := applicationtest.Start(t, app)
		w.Talk("a", "hi", "early, a", "hi", "")
		w.Talk("b", "hi", "early, b")
		time.Sleep(59 * time.Minute)
		w.Talk("a", "hi", "")
		time.Sleep(time.Minute)
		w.Talk("a", "hi", "later", "hi", "")
		time.Sleep(24 * time.Hour)
		w.Talk("a", "hi", "")
	})
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                                    "replies: is missing",
		"replies: [{during: noon, reply: x}]": `replies.0.during: "noon" is no day`,
		"replies: [x]\ntimezone: here":        "timezone: \"here\" is no time zone",
		"replies: [x]\nonce: -1":              "once: must not be negative",
		"replies: [{during: mon}]":            "replies.0: does nothing",
		"replies: [{druing: mon, reply: x}]":  `did you mean "during"?`,
	} {
		if err := applicationtest.Configure(autoreply.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
	app := autoreply.New()
	if err := applicationtest.Configure(app, "replies: [x, y]"); err != nil || !strings.Contains(fmt.Sprint(app.Lint()), "replies.1: is never reached") {
		t.Errorf("got %v, %v", err, app.Lint())
	}
}
