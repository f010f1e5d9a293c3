package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/operate/queues"
)

// follow runs tail until end, and passes a marker through every queue until the
// tail has seen one, so that what comes next is seen too.
func (d *desk) follow(args ...string) (out *output, end func()) {
	d.Helper()
	ctx, stop := context.WithCancel(d.Context())
	var errs output
	out = &output{}
	done := make(chan error, 1)
	go func() {
		done <- d.command(ctx, strings.NewReader(""), out, &errs, append([]string{"tail"}, args...)...)
	}()
	d.await("the tail follows: "+errs.String(), func() bool {
		d.must(d.broker.Publish(d.Context(), broker.Publication{Key: d.transport + ".inbound", Body: []byte("marker")}))
		return out.String() != ""
	})
	return out, func() {
		d.Helper()
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			d.Errorf("tail: %v", err)
		}
	}
}

func testTail(d *desk) {
	if _, _, err := d.run("tail", d.dir); err == nil || !strings.Contains(err.Error(), "start the workers") {
		d.Errorf("before the fleet: %v", err)
	}
	d.declare()
	shy, endShy := d.follow(d.dir)
	open, endOpen := d.follow("--content", "--json", "--flow", "inbound", d.transport)
	d.publish(d.transport+".inbound", 2)
	nack := message.NewNack(message.New(), "no credit")
	nack.MessageID = "m7"
	d.must(d.broker.Publish(d.Context(), broker.Publication{Key: d.app + ".event", Body: nack.Encode()}))
	d.await("everything is shown", func() bool {
		return strings.Contains(shy.String(), "nack") && strings.Contains(shy.String(), "m1") && strings.Contains(open.String(), "m1")
	})
	endShy()
	endOpen()
	d.wants(shy.String(), d.transport+".inbound", "m0  +27821234567 → 12345", "m7  nack no credit", "INVALID reading user message")
	if strings.Contains(shy.String(), "private") {
		d.Error("what people write is shown without --content")
	}
	for line := range strings.Lines(open.String()) {
		var p queues.Passing
		d.must(json.Unmarshal([]byte(line), &p))
		if p.Connector != d.transport || p.Flow != message.Inbound || p.Invalid == "" && (p.Content == nil || *p.Content != "very private") {
			d.Errorf("got %s", line)
		}
	}
	if n := d.waiting(d.app + ".event"); n != 1 {
		d.Errorf("%d events wait for the application; the tail must take nothing away", n)
	}
}

func testInject(d *desk) {
	lines := []string{
		`{"from_addr": "+27821111111", "to_addr": "12345", "content": "hello", "helper_metadata": {"a": 1}}`,
		`{"from_addr": "+27822222222", "to_addr": null, "message_id": "own", "transport_name": "other", "unknown": [1, 2]}`,
		``, `not json`, `[1]`, `null`, `{"from_addr": "1"}`, `{"from_addr": "1", "to_addr": "2", "session_event": "never"}`,
		`  {"from_addr": "+27823333333", "to_addr": "12345"}  `,
	}
	path := d.write("messages.jsonl", strings.Join(lines, "\n"))
	in := d.transport + ".inbound"
	if _, _, err := d.run("inject", in, path); exitCode(err) != exitMisused || !strings.Contains(err.Error(), "the broker has no queue "+in) {
		d.Errorf("a queue that nobody has made: %v", err)
	}
	if _, there, err := d.look(in); there || err != nil {
		d.Errorf("it was made all the same: %v", err)
	}
	_, errs, err := d.run("inject", "--force", in, path)
	if err == nil || !strings.Contains(err.Error(), "5 lines") {
		d.Errorf("got %v", err)
	}
	d.wants(errs, "line 4: it is not valid JSON", "line 5: it is an array", "line 6: it is null", "line 7: ", "to_addr", "line 8: ", "3 messages published")
	var found []*message.Message
	d.must(d.broker.Browse(d.Context(), in, 10, func(x *broker.Delivery) (broker.Verdict, error) {
		m, err := message.Decode(x.Body)
		found = append(found, m)
		return broker.Keep, err
	}))
	if len(found) != 3 {
		d.Fatalf("%d arrived", len(found))
	}
	m := found[0]
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(m.ID) || m.TransportName != d.transport || time.Since(m.Timestamp) > time.Minute ||
		m.Content != "hello" || m.HelperMetadata.Raw("a") != "1" {
		d.Errorf("got %s", m.Encode())
	}
	if extra := found[1].Extra(); found[1].ID != "own" || found[1].TransportName != "other" || extra.Raw("unknown") == "" {
		d.Errorf("got %s", found[1].Encode())
	}
	d.injectEvents()
	d.injectMany()
}

// look says whether there is a queue.
func (d *desk) look(queue string) (info broker.Info, there bool, err error) {
	info, err = d.broker.Inspect(d.Context(), queue)
	if errors.Is(err, broker.ErrNoQueue) {
		return info, false, nil
	}
	return info, err == nil, err
}

func (d *desk) injectEvents() {
	d.Helper()
	var out, errs output
	line := strings.NewReader(`{"event_type": "delivery_report", "user_message_id": "m1", "delivery_status": "delivered"}`)
	d.must(d.command(d.Context(), line, &out, &errs, "inject", "--force", d.app+".event", "-"))
	if n := d.waiting(d.app + ".event"); n != 1 {
		d.Errorf("%d events arrived: %s", n, errs.String())
	}
}

// injectMany is more than the broker's window, in the file's order, by Vumi's
// flags.
func (d *desk) injectMany() {
	d.Helper()
	const n = 2500
	var text strings.Builder
	for i := range n {
		_, _ = fmt.Fprintf(&text, `{"from_addr": "1", "to_addr": "2", "content": "%d"}`+"\n", i)
	}
	path := d.write("many.jsonl", text.String())
	d.mustRun("inject_messages", "--force", "--transport-name", d.transport, "--direction", "outbound", path)
	at := 0
	d.must(d.broker.Browse(d.Context(), d.transport+".outbound", 2*n, func(x *broker.Delivery) (broker.Verdict, error) {
		m, err := message.Decode(x.Body)
		if err == nil && m.Content != fmt.Sprint(at) {
			err = fmt.Errorf("at place %d is %s", at, m.Content)
		}
		at++
		return broker.Remove, err
	}))
	if at != n {
		d.Errorf("%d of %d arrived", at, n)
	}
}

func testInjectStrict(d *desk) {
	path := d.write("messages.jsonl", `{"from_addr": "1", "to_addr": "2"}`+"\nrubbish\n"+`{"from_addr": "1", "to_addr": "2"}`)
	d.declare()
	_, errs, err := d.run("inject", "--strict", d.transport+".inbound", path)
	if err == nil || !strings.Contains(err.Error(), "line 2: it is not valid JSON") {
		d.Errorf("got %v", err)
	}
	d.wants(errs, "1 message published")
	if n := d.waiting(d.transport + ".inbound"); n != 1 {
		d.Errorf("%d arrived", n)
	}
}

// The bar of an injection, on a file that takes the place of a terminal.
func TestProgress(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	silent := newProgress(file, 100)
	silent.advance(50, 5)
	silent.clear()
	silent.end()
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a file that is no terminal got %d bytes, %v", info.Size(), err)
	}
	p := &progress{out: file, size: 200, began: time.Now().Add(-time.Second)}
	p.advance(50, 5)
	p.advance(50, 10)
	if got := p.bar(p.began.Add(2 * time.Second)); got != "["+strings.Repeat("=", 15)+strings.Repeat(" ", 15)+"]  50%  10 messages, 5/s" {
		t.Errorf("got %q", got)
	}
	p.size = 0
	if got := p.bar(p.began.Add(2 * time.Second)); got != "10 messages, 5/s" {
		t.Errorf("got %q", got)
	}
	p.end()
	text, err := os.ReadFile(file.Name())
	if err != nil || strings.Count(string(text), "\r") != 2 {
		t.Errorf("shown %q, %v: want the first and the last state", text, err)
	}
}
