package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/operate"
	"switchboard/worker/deadletter"
)

func letter(id string) string {
	return `{"message_id": "` + id + `", "from_addr": "1", "to_addr": "2", "content": "very private"}`
}

func (d *desk) letters(args ...string) (letters []deadletter.DeadLetter) {
	d.Helper()
	d.must(json.Unmarshal([]byte(d.mustRun(append([]string{"failures", "list", "--json"}, args...)...)), &letters))
	return letters
}

func testFailures(d *desk) {
	d.declare()
	in := d.transport + ".inbound"
	d.wants(d.mustRun("failures", "list", d.dir), "no dead letters")
	d.bury(letter("m1"), "exhausted", "the far end is away")
	d.bury("rubbish", "invalid", "the body is not valid JSON\nat all")
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
		if got := d.letters(c.args...); len(got) != c.want {
			d.Errorf("%v: %d letters, want %d", c.args, len(got), c.want)
		}
	}
	first := d.letters("--id", "m1", in)[0]
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
	d.bury(letter("m1"), "exhausted", "the far end is away")
	d.bury("rubbish\n", "invalid", "x")
	d.bury("\xff\x00", "invalid", "y")
	d.wants(d.mustRun("failures", "show", "--id", "m1", in), `"content": "very private"`, "switchboard-error: the far end is away", "switchboard-key: "+in)
	for cause, want := range map[string]string{"x": `8 bytes that are no JSON: "rubbish\n"`, "y": `"\xff\x00"`} {
		id := d.letters("--error", cause, "--reason", "invalid", in)[0].ID
		d.wants(d.mustRun("failures", "show", "--id", id, in), want)
	}
	var shown []shownDeadLetter
	id := d.letters("--error", "y", "--reason", "invalid", in)[0].ID
	d.must(json.Unmarshal([]byte(d.mustRun("failures", "show", "--json", "--id", id, "--id", "m1", in)), &shown))
	if len(shown) != 2 || !strings.Contains(string(shown[0].Body)+string(shown[1].Body), "very private") {
		d.Errorf("got %+v", shown)
	}
	if got := base64.StdEncoding.EncodeToString(append(shown[0].Bytes, shown[1].Bytes...)); got != "/wA=" {
		d.Errorf("bytes came as %s", got)
	}
	if _, _, err := d.run("failures", "show", "--id", "nobody", in); err == nil {
		d.Error("showed what is not there")
	}
}

func testDrop(d *desk) {
	in := d.transport + ".inbound"
	d.bury(letter("m1"), "exhausted", "a")
	d.bury(letter("m2"), "invalid", "b")
	var wrong operate.Misuse
	if _, _, err := d.run("failures", "drop", in); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "2 dead letters") {
		d.Errorf("without --yes: %v", err)
	}
	d.wants(d.mustRun("failures", "drop", "--yes", "--reason", "invalid", in), "1 dead letter deleted")
	if left := d.letters(in); len(left) != 1 || left[0].MessageID != "m1" {
		d.Errorf("left are %+v", left)
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
