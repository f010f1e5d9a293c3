package cli

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"switchboard/message"
	"switchboard/store"
	"switchboard/store/sqlite"
)

// Text that no database takes as it is, is listed as it is kept: escaped, whole,
// and found by what is shown of it as well as by what was written.
func TestMessagesShowAnyText(t *testing.T) {
	s := newSender(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(s.dir, "record.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := message.New()
	m.ID, m.From, m.To, m.TransportName, m.Content = "odd", "+27\x00\xff", "12345", "sms", "a\x00b\nc\xe9, \"d\""
	rejected, err := db.Record(t.Context(), []store.Envelope{{Direction: store.Inbound, Backend: "sms", Message: m}})
	if err != nil || len(rejected) > 0 {
		t.Fatal(rejected, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	const text, address = "a\\u0000b\nc\\xe9, \"d\"", `+27\u0000\xff`
	for name, search := range map[string][]string{
		"the text as shown": {"--text", `a\u0000b`}, "the text as written": {"--text", "c\xe9"},
		"the address as shown": {"--address", address}, "the address as written": {"--address", m.From},
	} {
		search = append([]string{"messages"}, search...)
		var r store.Record
		if err := json.Unmarshal([]byte(s.must(append(search, "--json")...)), &r); err != nil || r.Text != text || r.Address != address {
			t.Errorf("%s, as JSON: %v, %q from %q", name, err, r.Text, r.Address)
		}
		rows, err := csv.NewReader(strings.NewReader(s.must(append(search, "--csv")...))).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][9] != text || rows[1][6] != address {
			t.Errorf("%s, as CSV: %v, %q", name, err, rows)
		}
		if out := s.must(search...); strings.Count(out, "\n") != 2 || !strings.Contains(out, `a\u0000b c\xe9, "d"`) {
			t.Errorf("%s, as a table: %q", name, out)
		}
	}
}

// What reads CSV always gets its header; what cannot be meant is refused.
func TestMessagesFlags(t *testing.T) {
	s := newSender(t)
	if out := s.must("messages", "--csv"); !strings.HasPrefix(out, "id,created,") || strings.Count(out, "\n") != 1 {
		t.Errorf("nothing as CSV: %q", out)
	}
	s.must("messages", "--transport", "sms", "--application", "survey") // which are recorded, and have no message yet
	for want, args := range map[string][]string{
		"exclude each other": {"--csv", "--json"},
		"--limit must not":   {"--limit", "-1"},
		`--transport: the record has no transport "smz"; did you mean "sms"?`:          {"--transport", "smz"},
		`--application: the record has no application "survy"; did you mean "survey"?`: {"--application", "survy", "--csv"},
		"--broadcast: broadcast 7": {"--broadcast", "7", "--json"},
	} {
		_, _, err := s.run(nil, append([]string{"messages"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitMisused {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}

// A session may end without a word.
func TestMessagesShowSessions(t *testing.T) {
	s := newSender(t)
	db := s.open()
	m := message.New()
	m.ID, m.From, m.To, m.TransportName, m.SessionEvent = "bye", "+1", "12345", "sms", message.SessionClose
	_, err := db.Record(t.Context(), []store.Envelope{{Direction: store.Inbound, Backend: "sms", Message: m}})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"messages"}, {"trace", "bye"}} {
		if out := s.must(args...); !strings.Contains(out, "(session close)") {
			t.Errorf("%s: %s", args, out)
		}
	}
}

// A listing that stops says so; an empty identifier names nobody.
func TestMessagesSayWhenTheyStop(t *testing.T) {
	s := newSender(t)
	s.must("send", "--transport", "sms", "--to", "+1,+2,+3", "--text", "x")
	for limit, stops := range map[string]bool{"2": true, "3": false, "0": false} {
		out, errs, err := s.run(nil, "messages", "--limit", limit, "--json")
		if err != nil || strings.Contains(errs, "there are more than these 2") != stops {
			t.Errorf("--limit %s: %v, %q", limit, err, errs)
		}
		if n := strings.Count(out, "\n"); stops && n != 2 || !stops && n != 3 {
			t.Errorf("--limit %s: %d lines", limit, n)
		}
	}
	for _, id := range []string{"", " "} {
		if _, _, err := s.run(nil, "trace", id); err == nil || exitCode(err) != exitMisused {
			t.Errorf("trace %q: %v", id, err)
		}
	}
	if _, _, err := s.run(nil, "trace", "nosuch"); err == nil || exitCode(err) != exitFailed {
		t.Errorf("trace of what is not there: %v", err)
	}
	if _, _, err := s.run(nil, "messages", "--since", "2099-01-01"); err == nil || exitCode(err) != exitMisused {
		t.Errorf("messages of the future: %v", err)
	}
}

// What came from outside moves no cursor and makes no formula; what was exported
// is read back as it was, and by the transport that the flag names.
func TestMessagesAreSafeToShow(t *testing.T) {
	s := newSender(t)
	db := s.open()
	evil := message.New()
	evil.ID, evil.From, evil.To, evil.TransportName = "id\x1b[2J\nx", "\x1b]0;owned\x07@x", "12345", "sms"
	evil.Content = "=cmd|'/C calc'!A0\u009b31m"
	plain := message.New()
	plain.ID, plain.From, plain.To, plain.TransportName, plain.Content = "plain", "+27831234567", "12345", "sms", "-1"
	rejected, err := db.Record(t.Context(), []store.Envelope{
		{Direction: store.Inbound, Backend: "sms", Message: evil}, {Direction: store.Inbound, Backend: "sms", Message: plain},
	})
	if err := errors.Join(err, db.Close()); err != nil || len(rejected) > 0 {
		t.Fatal(rejected, err)
	}
	for _, args := range [][]string{{"messages"}, {"trace", evil.ID}, {"trace", evil.From}} {
		out := s.must(args...)
		if strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%q prints control characters: %q", args, out)
		}
	}
	export := s.must("messages", "--csv")
	rows, err := csv.NewReader(strings.NewReader(export)).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatal(err, rows)
	}
	for _, row := range rows[1:] {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=@\t\r", rune(cell[0])) {
				t.Errorf("a formula is in the export: %q", cell)
			}
		}
		if row[0] == "plain" && (row[6] != "+27831234567" || row[9] != "-1") {
			t.Errorf("numbers are changed: %q", row)
		}
	}
	people := s.file("people.csv", export)
	_, errs, err := s.run(nil, "send", "--transport", "other", "--from-file", people, "--text", "again", "--name", "{{text}}")
	if err != nil {
		t.Fatal(err, errs)
	}
	if out := s.must("messages", "--transport", "other"); strings.Count(out, "→ +27831234567") != 1 {
		t.Errorf("the flag is not obeyed:\n%s", out)
	}
}
