package cli

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate/queues"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/store/sqlite"
	"switchboard/worker"
)

// sender runs commands on a database of the test's own.
type sender struct {
	*testing.T
	dir string
}

func newSender(t *testing.T) *sender {
	s := &sender{t, t.TempDir()}
	s.must("migrate")
	s.records("sms", "other")
	return s
}

func (s *sender) open() store.Database {
	s.Helper()
	db, err := sqlite.Open(s.Context(), filepath.Join(s.dir, "record.db"), nil)
	if err != nil {
		s.Fatal(err)
	}
	return db
}

// records is what a persistence worker does when it starts.
func (s *sender) records(transports ...string) {
	s.Helper()
	db := s.open()
	if err := errors.Join(persistence.Recorded{Transports: transports, Applications: []string{"survey"}}.Note(s.Context(), db), db.Close()); err != nil {
		s.Fatal(err)
	}
}

func (s *sender) run(in io.Reader, args ...string) (out, errs string, err error) {
	s.Helper()
	root := &cobra.Command{SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(migrateCommand(), sendCommand(), broadcastsCommand(), messagesCommand(), traceCommand(), optOutsCommand(), surveyCommand(), auditCommand(testClasses(), queues.Connect))
	var o, e output
	root.SetArgs(append(args, "--database-url", "sqlite:"+filepath.Join(s.dir, "record.db")))
	root.SetIn(in)
	root.SetOut(&o)
	root.SetErr(&e)
	err = root.ExecuteContext(s.Context())
	return o.String(), e.String(), err
}

func (s *sender) must(args ...string) string {
	s.Helper()
	out, errs, err := s.run(strings.NewReader(""), args...)
	if err != nil {
		s.Fatalf("%v: %v\n%s%s", args, err, out, errs)
	}
	return out
}

func (s *sender) file(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// texts are the recorded texts by address.
func (s *sender) texts() map[string]string {
	s.Helper()
	texts := map[string]string{}
	for line := range strings.Lines(s.must("messages", "--json", "--limit", "0")) {
		var r store.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			s.Fatal(err)
		}
		texts[r.Backend+" "+r.Address] = r.Text
	}
	return texts
}

const people = "address;name;transport\r\n" + // as spreadsheets write
	"+27831;Ann;\r\n+27832;Bob;other\r\n\r\n\"+27833;broken\r\n+27834\r\n;Nobody;\r\n+27835;bad\xff;\r\n+27831;Ann again;\r\n+27836;\"Smith; Jo\";\r\n"

func TestSendFile(t *testing.T) {
	s := newSender(t)
	out, errs, err := s.run(strings.NewReader("\uFEFF"+people), "send", "--transport", "sms", "--from-file", "-", "--text", "Hi {{name}}")
	if err != nil {
		t.Fatal(err, errs)
	}
	if want := "broadcast 1: 3 messages stored in 2 batches, 1 duplicate left out, 4 bad lines skipped\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	for _, line := range []string{"line 5: ", "line 6: ", "line 7: ", "line 8: "} {
		if !strings.Contains(errs, line) {
			t.Errorf("%q is not named in:\n%s", line, errs)
		}
	}
	texts := s.texts()
	if len(texts) != 3 || texts["sms +27831"] != "Hi Ann" || texts["other +27832"] != "Hi Bob" || texts["sms +27836"] != "Hi Smith; Jo" {
		t.Errorf("recorded: %v", texts)
	}
}

func TestSendStrictly(t *testing.T) {
	s := newSender(t)
	_, errs, err := s.run(nil, "send", "--strict", "--transport", "sms", "--from-file", s.file("people.csv", people), "--text", "Hi")
	if err == nil || !strings.Contains(err.Error(), ": 4 bad lines in the list") || strings.Contains(err.Error(), "recipient") || strings.Count(errs, "line ") != 4 {
		t.Errorf("got %v and\n%s", err, errs)
	}
	if texts := s.texts(); len(texts) > 0 {
		t.Errorf("recorded all the same: %v", texts)
	}
}

func TestSendQuery(t *testing.T) {
	s := newSender(t)
	s.must("send", "--transport", "sms", "--to", "+1,+2", "--to", "+3", "--text", "first")
	s.must("send", "--sql", "SELECT identity AS msisdn, 'other' AS transport FROM connection", "--text", "to {{msisdn}}", "--name", "all")
	_, _, err := s.run(nil, "send", "--transport", "sms", "--sql", "DELETE FROM connection RETURNING identity AS address", "--text", "x")
	if err == nil {
		t.Error("a query may write")
	}
	if texts := s.texts(); len(texts) != 6 {
		t.Errorf("recorded: %v", texts)
	}
}

func TestBroadcasts(t *testing.T) {
	s := newSender(t)
	s.must("send", "--transport", "sms", "--to", "+1,+2", "--text", "hello", "--schedule", "2h", "--rate", "1", "--retries", "0")
	for _, step := range []struct{ command, state string }{{"pause", "paused"}, {"resume", "scheduled"}, {"cancel", "cancelled"}} {
		if out := s.must("broadcasts", step.command, "1"); !strings.Contains(out, "broadcast 1 is "+step.state) {
			t.Errorf("%s: %s", step.command, out)
		}
	}
	if _, _, err := s.run(nil, "broadcasts", "resume", "1"); err == nil {
		t.Error("a cancelled broadcast was resumed")
	}
	if _, _, err := s.run(nil, "broadcasts", "show", "2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a broadcast that is none: %v", err)
	}
	var list []store.BroadcastInfo
	if err := json.Unmarshal([]byte(s.must("broadcasts", "list", "--json")), &list); err != nil || len(list) != 1 || list[0].Error != 2 || list[0].Retries != 0 {
		t.Errorf("the list: %+v, %v", list, err)
	}
	if out := s.must("messages", "--broadcast", "1", "--state", "E"); strings.Count(out, "broadcast cancelled") != 2 {
		t.Errorf("why they failed is not said:\n%s", out)
	}
	if out := s.must("audit"); !strings.Contains(out, "accepted 2 = queued 0 + in flight 0 + final 2") {
		t.Errorf("audit:\n%s", out)
	}
}

// Whatever is wrong is said before anything is stored.
func TestSendMisuse(t *testing.T) {
	s := newSender(t)
	for want, args := range map[string][]string{
		"say what to send":        {"--to", "+1", "--transport", "sms"},
		"say to whom":             {"--text", "x"},
		"by which transport":      {"--text", "x", "--to", "+1"},
		"exclude each other":      {"--text", "x", "--to", "+1", "--sql", "SELECT 1"},
		"is past":                 {"--text", "x", "--to", "+1", "--transport", "sms", "--schedule", "2020-01-01"},
		"--transport":             {"--text", "x", "--to", "+1", "--transport", "SMS"},
		"no column is called":     {"--text", "x", "--transport", "sms", "--from-file", s.file("who.csv", "who\n+1\n")},
		"the list is empty":       {"--text", "x", "--transport", "sms", "--from-file", os.DevNull},
		"--rate must not be":      {"--text", "x", "--to", "+1", "--transport", "sms", "--rate", "-1"},
		"(the list has address)":  {"--text", "{{x}}", "--to", "+1", "--transport", "sms"},
		"open /no/where.csv":      {"--text", "x", "--transport", "sms", "--from-file", "/no/where.csv"},
		"--batch-size must":       {"--text", "x", "--to", "+1", "--transport", "sms", "--batch-size", "0"},
		"neither a moment":        {"--text", "x", "--to", "+1", "--transport", "sms", "--schedule", "soon"},
		"nothing is sent: 1 li":   {"--text", "x", "--transport", "sms", "--from-file", s.file("bad.csv", "address\n\x01\n")},
		"--rate must be a":        {"--text", "x", "--to", "+1", "--transport", "sms", "--rate", "inf"},
		"no limit":                {"--text", "x", "--to", "+1", "--transport", "sms", "--rate", "NaN"},
		"phone, address; say":     {"--text", "x", "--transport", "sms", "--from-file", s.file("two.csv", "phone,address\n+1,Main Street\n")},
		"is called tel (--addr":   {"--text", "x", "--transport", "sms", "--address-column", "tel", "--from-file", s.file("tel.csv", "phone\n+1\n")},
		"is UTF-16":               {"--text", "x", "--transport", "sms", "--from-file", s.file("utf16.csv", "\xff\xfea\x00\n\x00")},
		"line 3 is longer than":   {"--text", "x", "--transport", "sms", "--from-file", s.file("long.csv", "address\n+1\n"+strings.Repeat("9", 1<<20+1)+"\n")},
		"--to: address \"+1\\n+2": {"--text", "x", "--transport", "sms", "--to", "+1\n+2"},
		"--to: it has no":         {"--text", "x", "--transport", "sms", "--to", "+1,,+2"},
	} {
		if _, _, err := s.run(nil, append([]string{"send"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}

// A mistyped transport would make a queue that nobody reads, and a broadcast
// that never ends.
func TestSendByUnknownTransport(t *testing.T) {
	s := newSender(t)
	mistyped := []string{"send", "--transport", "smz", "--to", "+1", "--text", "x"}
	_, _, err := s.run(nil, mistyped...)
	if err == nil || !strings.Contains(err.Error(), `"smz"; did you mean "sms"? (recorded: other, sms;`) || exitCode(err) != exitMisused {
		t.Errorf("a mistyped transport: %v", err)
	}
	people := s.file("people.csv", "address,transport\n+1,smz\n+2,other\n")
	out, errs, err := s.run(nil, "send", "--from-file", people, "--text", "x")
	if err != nil || !strings.Contains(out, "1 message stored in 1 batch, 1 bad line skipped") || !strings.Contains(errs, "line 2: no persistence worker") {
		t.Errorf("a mistyped transport on a line: %v, %s%s", err, out, errs)
	}
	s.must(append(mistyped, "--force")...)
	if texts := s.texts(); len(texts) != 2 || texts["smz +1"] != "x" || texts["other +2"] != "x" {
		t.Errorf("recorded: %v", texts)
	}
	fresh := &sender{t, t.TempDir()}
	fresh.must("migrate")
	if _, _, err := fresh.run(nil, mistyped...); err == nil || !strings.Contains(err.Error(), "no persistence worker has run") {
		t.Errorf("without a fleet: %v", err)
	}
	fresh.must(append(mistyped, "--force")...)
}

// What a spreadsheet makes of telephone numbers is named, and nobody is texted
// at what is left of them.
func TestSendNamesWhatSpreadsheetsSpoil(t *testing.T) {
	s := newSender(t)
	spoilt := "sep=;\r\nphone;name\r\n2.783E+10;Ann\r\n27830000131.0;Bob\r\n2,783E+10;Cy\r\n\"+27830000001;Dan\"\r\n\"+27830000002,Eve\";Eve\r\n+27830000003;Fay\r\n"
	out, errs, err := s.run(nil, "send", "--transport", "sms", "--from-file", s.file("spoilt.csv", spoilt), "--text", "Hi {{name}}")
	if err != nil || !strings.Contains(out, "1 message stored in 1 batch, 5 bad lines skipped") {
		t.Fatalf("%v, %s%s", err, out, errs)
	}
	for _, want := range []string{
		`line 3: address "2.783E+10" is an amount`, `line 4: address "27830000131.0" is an amount`, `line 5: address "2,783E+10"`,
		"line 6: it has 1 field", `line 7: address "+27830000002,Eve" is several fields in one`,
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not named in\n%s", want, errs)
		}
	}
	if texts := s.texts(); len(texts) != 1 || texts["sms +27830000003"] != "Hi Fay" {
		t.Errorf("recorded: %v", texts)
	}
	chosen := s.file("chosen.csv", "phone,address\n+27830000004,Main Street\n")
	s.must("send", "--transport", "sms", "--address-column", "phone", "--from-file", chosen, "--text", "{{address}}")
	if texts := s.texts(); texts["sms +27830000004"] != "Main Street" {
		t.Errorf("recorded: %v", texts)
	}
}

// Nothing is handed over to a link that is down, unless that is meant.
func TestSendToALinkThatIsDown(t *testing.T) {
	s := newSender(t)
	health := message.Down
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		pool := fleet.WorkerStatus{Name: "join", Kind: fleet.KindDispatcher, Transports: []string{"sms"}, Exposed: []string{"pool"}}
		_ = json.NewEncoder(w).Encode(fleet.Status{Workers: []fleet.WorkerStatus{{
			Name: "sms", Kind: fleet.KindTransport, Connector: "sms",
			Dependencies: []worker.Dependency{{Kind: worker.DependsOnLink, Name: "bind", Health: health, Reason: "refused", Since: time.Now()}},
		}, pool, pool}})
	}))
	defer server.Close()
	send := func(to string, more ...string) (string, error) {
		out, _, err := s.run(nil, append([]string{"send", "--process", server.URL, "--transport", to, "--to", "+1", "--text", "x"}, more...)...)
		return out, err
	}
	if _, err := send("sms", "--wait"); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "broadcast 1 waits, paused: transport sms, by which 1 address goes, has its link bind down") {
		t.Errorf("a link that is down: %v", err)
	}
	if out := s.must("broadcasts", "show", "1"); !strings.Contains(out, "broadcast 1, paused") {
		t.Errorf("got %s", out)
	}
	s.records("pool")
	if _, err := send("pool"); err == nil || !strings.Contains(err.Error(), "transport pool, by which 1 address goes, has its link bind down") {
		t.Errorf("a dispatcher whose only transport is down: %v", err)
	}
	people := s.file("people.csv", "address,transport\n+1,sms\n+2,other\n+3,sms\n")
	out, _, err := s.run(nil, "send", "--process", server.URL, "--from-file", people, "--text", "x")
	if !strings.Contains(out, "not before") {
		t.Errorf("workers may take it before it is paused: %s", out)
	}
	if err == nil || !strings.Contains(err.Error(), "broadcast 3 waits, paused: transport sms, by which 2 addresses go, has") {
		t.Errorf("a list with a transport whose link is down: %v", err)
	}
	for _, args := range [][]string{{"other"}, {"sms", "--even-if-down"}} {
		if out, err := send(args[0], args[1:]...); err != nil || !strings.Contains(out, "1 message stored") {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	health = message.OK
	if _, err := send("sms"); err != nil {
		t.Errorf("a link that is up: %v", err)
	}
}
