package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/operate"
	"switchboard/operate/queues"
	"switchboard/worker/deadletter"
)

func deadLetter(id string) string {
	return `{"message_id": "` + id + `", "from_addr": "1", "to_addr": "2", "content": "very private"}`
}

func (d *desk) deadLetters(args ...string) (list []deadletter.DeadLetter) {
	d.Helper()
	d.must(json.Unmarshal([]byte(d.mustRun(append([]string{"failures", "list", "--json"}, args...)...)), &list))
	return list
}

func testFailures(d *desk) {
	d.declare()
	in := d.transport + ".inbound"
	d.wants(d.mustRun("failures", "list", d.dir), "no dead letters")
	d.deadLetterNow(deadLetter("m1"), "exhausted", "the far end is away")
	d.deadLetterNow("rubbish", "invalid", "the body is not valid JSON\nat all")
	text := d.mustRun("failures", "list", d.dir)
	d.wants(text, "ID", "exhausted  12", "1h", "join", "m1", "the far end is away", `not valid JSON\nat all`)
	if strings.Contains(text, "private") {
		d.Error("the list shows what people write")
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{d.dir}, 2},
		{[]string{"--queue", in + broker.DeadSuffix}, 2},
		{[]string{"--queue", in, d.dir}, 2},
		{[]string{"--queue", d.app + ".event", d.dir}, 0},
		{[]string{"--reason", "invalid", in}, 1},
		{[]string{"--id", "m1", in}, 1},
		{[]string{"--error", "far end", in}, 1},
		{[]string{"--limit", "1", in}, 1},
	} {
		if got := d.deadLetters(c.args...); len(got) != c.want {
			d.Errorf("%v: %d dead letters, want %d", c.args, len(got), c.want)
		}
	}
	first := d.deadLetters("--id", "m1", in)[0]
	if first.Queue != in || first.Attempts != 12 || first.Worker != "join" || time.Since(first.FirstFailed) < time.Hour {
		d.Errorf("got %+v", first)
	}
	d.wants(d.mustRun("failures", "retry", "--id", first.ID, d.dir), in+": 1 dead letter put back")
	if n, dead := d.waiting(in), d.waiting(in+broker.DeadSuffix); n != 1 || dead != 1 {
		d.Errorf("%d wait, %d are dead", n, dead)
	}
}

func testShow(d *desk) {
	in := d.transport + ".inbound"
	d.deadLetterNow(deadLetter("m1"), "exhausted", "the far end is away")
	d.deadLetterNow("rubbish\n", "invalid", "x")
	d.deadLetterNow("\xff\x00", "invalid", "y")
	d.wants(d.mustRun("failures", "show", "--id", "m1", in), `"content": "very private"`, "switchboard-error: the far end is away", "switchboard-key: "+in)
	for cause, want := range map[string]string{"x": `8 bytes that are no JSON: "rubbish\n"`, "y": `"\xff\x00"`} {
		id := d.deadLetters("--error", cause, "--reason", "invalid", in)[0].ID
		d.wants(d.mustRun("failures", "show", "--id", id, in), want)
	}
	var shown []shownDeadLetter
	id := d.deadLetters("--error", "y", "--reason", "invalid", in)[0].ID
	d.must(json.Unmarshal([]byte(d.mustRun("failures", "show", "--json", "--id", id, "--id", "m1", in)), &shown))
	if len(shown) != 2 || !strings.Contains(string(shown[0].Body)+string(shown[1].Body), "very private") {
		d.Errorf("got %+v", shown)
	}
	if got := base64.StdEncoding.EncodeToString(append(shown[0].Bytes, shown[1].Bytes...)); got != "/wA=" {
		d.Errorf("bytes came as %s", got)
	}
	for _, args := range [][]string{{"--reason", "invalid"}, {"--error", "the far end"}} {
		d.wants(d.mustRun(append([]string{"failures", "show", in}, args...)...), "dead letter ", "switchboard-reason: ")
	}
	if _, _, err := d.run("failures", "show", "--id", "nobody", in); err == nil {
		d.Error("showed what is not there")
	}
}

func testDrop(d *desk) {
	in := d.transport + ".inbound"
	d.deadLetterNow(deadLetter("m1"), "exhausted", "a")
	d.deadLetterNow(deadLetter("m2"), "invalid", "b")
	var wrong operate.Misuse
	if _, _, err := d.run("failures", "drop", in); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "2 dead letters") {
		d.Errorf("without --yes: %v", err)
	}
	d.wants(d.mustRun("failures", "drop", "--yes", "--reason", "invalid", in), "1 dead letter deleted")
	if left := d.deadLetters(in); len(left) != 1 || left[0].MessageID != "m1" {
		d.Errorf("left are %+v", left)
	}
}

// Equal dead letters are told apart; the limit is of those that match; an endless
// identifier stays in its column; retry and drop print JSON.
func testManyDeadLetters(d *desk) {
	in := d.transport + ".inbound"
	d.declare()
	for range 3 {
		d.deadLetterNow(deadLetter("same"), "permanent", "x")
	}
	long := strings.Repeat("i", 10_000)
	d.deadLetterNow(deadLetter(long), "invalid", "y")
	ids := map[string]bool{}
	for _, l := range d.deadLetters(in) {
		ids[l.ID] = true
	}
	if len(ids) != 4 {
		d.Errorf("4 dead letters have %d identifiers: %v", len(ids), ids)
	}
	if got := d.deadLetters("--limit", "1", "--error", "y", in); len(got) != 1 || got[0].MessageID != long {
		d.Errorf("the one that matches is beyond the limit: %+v", got)
	}
	for line := range strings.Lines(d.mustRun("failures", "list", in)) {
		if len(line) > 300 {
			d.Errorf("a line of the table has %d bytes", len(line))
		}
	}
	var counts []queues.Count
	d.must(json.Unmarshal([]byte(d.mustRun("failures", "retry", "--json", "--error", "y", in)), &counts))
	if len(counts) != 1 || counts[0] != (queues.Count{Queue: in, Messages: 1}) {
		d.Errorf("retry: %+v", counts)
	}
	d.must(json.Unmarshal([]byte(d.mustRun("failures", "drop", "--yes", "--json", in)), &counts))
	if len(counts) != 1 || counts[0].Messages != 3 {
		d.Errorf("drop: %+v", counts)
	}
}

func testMisuse(d *desk) {
	for _, args := range [][]string{
		{"status"},
		{"clear"},
		{"wait"},
		{"tail"},
		{"failures", "list"},
		{"failures", "show", "x.inbound"},
		{"inject"},
		{"status", "no/such/dir"},
		{"status", "nosuch.yaml"},
		{"tail", "--flow", "sideways", d.app},
		{"failures", "list", "--queue", "other.inbound", d.dir},
		{"inject", "noflow"},
		{"inject", d.app + ".sideways"},
		{"inject", d.app + ".inbound", "no such file"},
		{"inject", "UPPER.inbound"},
		{"inject", d.app + ".inbound", "a", "b"},
		{"status", d.write("bad.yaml", "router_class: nothing")},
	} {
		var wrong operate.Misuse
		if _, _, err := d.run(args...); !errors.As(err, &wrong) {
			d.Errorf("%v: %v", args, err)
		}
	}
}

// Some dead letters go to another queue, in their order and at a rate; what would go is
// counted before, and who did it is kept.
func testRetryElsewhere(d *desk) {
	d.declare()
	in, other := d.transport+".inbound", d.app+".inbound"
	for i, transport := range []string{"sms", "ussd", "sms", "sms", "sms"} {
		d.deadLetterNow(fmt.Sprintf(`{"message_id": "m%d", "transport_name": %q, "content": "caf\u00e9 %d"}`, i, transport, i%4), "permanent", "no route")
	}
	filter := []string{"--transport", "sms", "--text", "café", "--since", "2h", "--until", "30m"}
	retry := func(more ...string) (out, errs string, err error) {
		d.Helper()
		return d.run(append(append(append([]string{"failures", "retry"}, filter...), more...), in)...)
	}
	out, _, err := retry("--dry-run", "--limit", "3", "--to", other)
	if want := in + ": 3 dead letters would be put back on " + other + ", 1 more are over --limit, 1 left out by their transport\n"; err != nil || out != want {
		d.Errorf("got %q, %v; want %q", out, err, want)
	}
	if _, _, err := retry("--rate", "0.001"); exitCode(err) != exitMisused || !strings.Contains(err.Error(), "raise --rate") {
		d.Errorf("a rate that takes an hour: %v", err)
	}
	if got := d.deadLetters(in); len(got) != 5 {
		d.Fatalf("%d dead letters are left", len(got))
	}
	database := "sqlite:" + filepath.Join(d.dir, "record.db")
	d.mustRun("migrate", "--database-url", database)
	began := time.Now()
	out, errs, err := retry("--limit", "3", "--to", other, "--rate", "20", "--each", "--why", "the route is mended", "--database-url", database)
	if err != nil || out != in+": 3 dead letters put back\n" || time.Since(began) < 100*time.Millisecond {
		d.Errorf("after %v: %q, %v", time.Since(began), out, err)
	}
	d.wants(errs, "m0  → "+other, "m2  → "+other, "m3  → "+other)
	var ids []string
	d.must(d.broker.Browse(d.Context(), other, 10, func(x *broker.Delivery) (broker.Verdict, error) {
		ids = append(ids, string(x.Body[16:18]))
		return broker.Keep, nil
	}))
	if strings.Join(ids, " ") != "m0 m2 m3" {
		d.Errorf("on the other queue are %v", ids)
	}
	d.wants(d.mustRun("failures", "history", "--database-url", database), "the route is mended", in, whoami())
	lines := strings.Split(strings.TrimSpace(d.mustRun("failures", "export", in)), "\n")
	var letter shownDeadLetter
	d.must(json.Unmarshal([]byte(lines[0]), &letter))
	if len(lines) != 2 || letter.MessageID != "m1" || !strings.Contains(string(letter.Body), "m1") || letter.Transport != "ussd" {
		d.Errorf("exported: %q", lines)
	}
	if _, _, err := d.run("failures", "list", "--transport", "sns", in); exitCode(err) != exitMisused || !strings.Contains(err.Error(), `did you mean "sms"?`) {
		d.Errorf("a transport with a slip: %v", err)
	}
}
