package rules

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/dispatcher"
	"switchboard/message"
)

// healths are transports that are not well.
type healths map[string]message.Health

func (h healths) Of(connector string) message.Health {
	if health, told := h[connector]; told {
		return health
	}
	return message.OK
}

func TestFirstHealthy(t *testing.T) {
	r := mustLoad(t, `rules: [{first_healthy: [smpp, spare, xmpp]}]`)
	for _, c := range []struct {
		health healths
		want   string
	}{
		{nil, "smpp"},
		{healths{"smpp": message.Down}, "spare"},
		{healths{"smpp": message.Degraded}, "spare"},
		{healths{"smpp": message.Degraded, "spare": message.Down, "xmpp": message.Down}, "smpp"},
		{healths{"smpp": message.Down, "spare": message.Down, "xmpp": message.Degraded}, "xmpp"},
		{healths{"smpp": message.Down, "spare": message.Down, "xmpp": message.Down}, "smpp"},
	} {
		r.health = c.health
		if got := went(route(t, r, out("x"))); got != c.want {
			t.Errorf("%v: went to %s, want %s", c.health, got, c.want)
		}
	}
}

func TestBalance(t *testing.T) {
	r := mustLoad(t, `rules: [{balance: {smpp: 6, xmpp: 3, spare: 1}}]`)
	count := func(n int) map[string]int {
		got := map[string]int{}
		for range n {
			got[went(route(t, r, out("x")))]++
		}
		return got
	}
	if got := count(100); got["smpp"] != 60 || got["xmpp"] != 30 || got["spare"] != 10 {
		t.Errorf("got %v", got)
	}
	if got := count(5); got["smpp"] == 5 {
		t.Error("the turns of one target come in a row")
	}
	r.health = healths{"smpp": message.Down}
	if got := count(400); got["xmpp"] != 300 || got["spare"] != 100 {
		t.Errorf("with smpp down: %v", got)
	}
	r.health = healths{"smpp": message.Down, "xmpp": message.Down, "spare": message.Down}
	if got := count(1000); got["smpp"] != 600 {
		t.Errorf("with all down: %v", got)
	}
}

func person(i int) dispatcher.Arrival {
	return in("hi", func(m *message.Message) { m.From = fmt.Sprintf("+2783%07d", i) })
}

// A balance that is sticky keeps each person where it was, and moves only those
// whose target is down.
func TestStickyBalance(t *testing.T) {
	r := mustLoad(t, `rules: [{balance: {app: 3, log: 1}, sticky: true}]`)
	const people = 4000
	first := map[string]int{}
	for i := range people {
		where := went(route(t, r, person(i)))
		first[where]++
		if again := went(route(t, r, person(i))); again != where {
			t.Fatalf("person %d went to %s and then to %s", i, where, again)
		}
	}
	if share := float64(first["app"]) / people; share < .72 || share > .78 {
		t.Errorf("app has %.2f of all, want .75", share)
	}
}

func TestShare(t *testing.T) {
	ten, twenty := &facts{}, 0
	tenth := 0
	const people = 5000
	for i := range people {
		a := person(i)
		ten.arrival = &a
		if ten.share(10, "") {
			tenth++
			if !ten.share(20, "") {
				t.Fatal("one of the tenth is not among the fifth")
			}
		}
		if ten.share(20, "") {
			twenty++
		}
		if ten.share(0, "") || !ten.share(100, "") {
			t.Fatal("0 is not none, or 100 not all")
		}
	}
	if tenth < people/10-100 || tenth > people/10+100 || twenty < people/5-140 || twenty > people/5+140 {
		t.Errorf("10 %% are %d and 20 %% are %d of %d", tenth, twenty, people)
	}
}

func TestCountry(t *testing.T) {
	f := &facts{}
	for addr, want := range map[string]string{
		"+27831234567": "ZA", "27831234567": "ZA", "+2348031234567": "NG", "+12125551234": "US",
		"12345": "", "": "", "user@example.org": "", "+0": "", "+99999999999999999999": "",
	} {
		if got := f.countryCode(addr); got != want {
			t.Errorf("%q is of %q, want %q", addr, got, want)
		}
	}
}

func TestFirstWord(t *testing.T) {
	for text, want := range map[string]string{"": "", "  ": "", "JOKE": "joke", " Joke\nme": "joke", "É\u00a0a": "é"} {
		if got := firstWord(text); got != want {
			t.Errorf("%q begins with %q, want %q", text, got, want)
		}
	}
}

// The zone decides what time it is. The test's clock begins on Saturday,
// 2000-01-01 00:00 UTC.
func TestDuringInAZone(t *testing.T) {
	r := mustLoad(t, `
timezone: Africa/Johannesburg
rules:
  - when: during("sat 02:00-03:00")
    to: app
    continue: true
  - when: during("fri", "America/New_York")
    to: jokes
    continue: true
  - when: string(during("sat 00:00-01:00", "UTC")) == "true"
    to: log
`)
	synctest.Test(t, func(t *testing.T) {
		if got := went(route(t, r, in("hi"))); got != "app jokes log" {
			t.Errorf("went to %s", got)
		}
		time.Sleep(6 * time.Hour)
		if _, err := r.Route(t.Context(), in("hi")); err == nil {
			t.Error("matched six hours later")
		}
	})
}

func TestMetadata(t *testing.T) {
	r := mustLoad(t, `
rules:
  - when: tag_pool == "short" and tag_name == "8181"
    to: app
  - when: helper("vip.level") == "3" and transport("smsc") == "x" and helper("none.there") == ""
    to: jokes
default: {to: log}
`)
	for want, edit := range map[string]func(*message.Message){
		"app": func(m *message.Message) {
			m.HelperMetadata = message.NewObject(map[string]any{"tag": map[string]any{"tag": []string{"short", "8181"}}})
		},
		"jokes": func(m *message.Message) {
			m.HelperMetadata = message.NewObject(map[string]any{"vip": map[string]any{"level": 3}})
			m.TransportMetadata = message.NewObject(map[string]any{"smsc": "x"})
		},
		"log": func(m *message.Message) {
			m.HelperMetadata = message.NewObject(map[string]any{"tag": map[string]any{"tag": "malformed"}})
		},
	} {
		if got := went(route(t, r, in("hi", edit))); got != want {
			t.Errorf("went to %s, want %s", got, want)
		}
	}
}
