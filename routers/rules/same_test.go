package rules

import (
	"testing"
	"time"

	"github.com/expr-lang/expr"

	"switchboard/message"
)

// conditions are those the compiler knows, each in the form it knows.
var conditions = []string{
	`inbound`, `not outbound`, `!event`, `inbound and reply`, `inbound || outbound`, `true`,
	`from == "+27831234567"`, `from != to`, `from_addr == person`, `"a" == content`,
	`from startsWith "+27"`, `to endsWith "5"`, `content contains "joke"`, `content matches "^[a-z ]+$"`,
	`not (content matches "jok")`, `word in ["joke", "news"]`, `word not in ["joke"]`,
	`word in ["1", "2", "3", "4", "5", "6", "7", "8", "joke"]`,
	`country(from) == "ZA"`, `country(to) != "ZA"`, `health("smpp") == "down"`, `up("smpp") and up("xmpp")`,
	`share(50)`, `share(12.5, "salt")`, `during("mon-fri 08:00-17:00")`, `during("sat, sun", "Africa/Lagos")`,
	`session == "new" or session == "close"`, `provider == ""`, `endpoint == "default"`, `tag_pool == "pool"`,
	`event_type == "ack"`, `delivery_status == ""`, `connector == "smpp" && transport_type == "sms" && flow == "inbound"`,
}

// Every condition the compiler turns into Go gives what the expression machine
// gives, whatever the message.
func FuzzSameAsMachine(f *testing.F) {
	f.Add("Joke please", "+27831234567", "12345", "new", true)
	f.Add("", "", "", "", false)
	f.Add("é\u00a0ß \x00", "27831234567", "+447911123456", "close", true)
	l := newLanguage()
	type both struct {
		native  test
		machine *program
	}
	pairs := map[string]both{}
	for _, source := range conditions {
		node, _, err := l.check(source, expr.AsBool())
		if err != nil {
			f.Fatalf("%s: %v", source, err)
		}
		native, ok := l.test(node)
		if !ok {
			f.Fatalf("the compiler does not know %s", source)
		}
		machine, err := l.program(source, expr.AsBool())
		if err != nil {
			f.Fatal(err)
		}
		pairs[source] = both{native, machine}
	}
	f.Fuzz(func(t *testing.T, content, from, to, session string, inbound bool) {
		a := in(content, func(m *message.Message) {
			m.From, m.To, m.SessionEvent = from, to, message.SessionEvent(session)
		})
		if !inbound {
			a.Flow = message.Outbound
		}
		for source, c := range pairs {
			fs := &facts{arrival: &a, language: l, zone: time.UTC, health: healths{"smpp": message.Down}, now: time.Unix(1_700_000_000, 0)}
			want, err := c.machine.run(fs)
			if err != nil {
				t.Fatalf("%s: %v", source, err)
			}
			if got := c.native(fs); got != want {
				t.Errorf("%s of %q from %q to %q: %v, the machine says %v", source, content, from, to, got, want)
			}
		}
	})
}
