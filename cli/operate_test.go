package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/operate/queues"
	"switchboard/routers"
	"switchboard/worker"
)

func TestOperatorOnMemory(t *testing.T) {
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	onBroker(t, func(context.Context, string) (broker.Broker, error) { return b.Connect(), nil })
}

// onBroker runs every command against real queues.
func onBroker(t *testing.T, dial dialer) {
	for name, test := range map[string]func(*desk){
		"status": testStatus, "links": testLinks, "clear": testClear, "wait": testWait, "pause": testPause, "move": testMove, "retries": testRetries, "failures": testFailures, "failures elsewhere": testRetryElsewhere, "show": testShow,
		"drop": testDrop, "typos": testTypos, "many": testManyDeadLetters, "tail": testTail, "inject": testInject, "inject strictly": testInjectStrict, "misuse": testMisuse,
	} {
		t.Run(name, func(t *testing.T) { test(newDesk(t, dial)) })
	}
}

// desk is an operator with a fleet of one dispatcher, whose connectors nobody
// else uses: it joins transport and app.
type desk struct {
	*testing.T
	dial           dialer
	broker         broker.Broker
	dir            string
	transport, app string
}

func newDesk(t *testing.T, dial dialer) *desk {
	id := strings.ToLower(rand.Text()[:10])
	d := &desk{T: t, dial: dial, dir: t.TempDir(), transport: "sms" + id, app: "app" + id}
	d.write("join.yaml", fmt.Sprintf("router_class: simple\ntransport_names: %s\nexposed_names: %s\nroute_mappings: {%[1]s: %[2]s}\n", d.transport, d.app))
	var err error
	if d.broker, err = dial(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.CloseBroker(d.broker) })
	t.Cleanup(d.deleteQueues)
	return d
}

func (d *desk) deleteQueues() {
	for _, connector := range []string{d.transport, d.app} {
		for _, flow := range []string{".inbound", ".outbound", ".event"} {
			for _, suffix := range []string{"", broker.DeadSuffix} {
				if err := d.broker.Delete(context.Background(), connector+flow+suffix); err != nil {
					d.Error(err)
				}
			}
		}
	}
}

func (d *desk) write(name, text string) string {
	d.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
	return path
}

func testClasses() fleet.Classes {
	return fleet.Classes{Routers: map[string]fleet.Class[dispatcher.Router]{
		"simple": {New: func() dispatcher.Router { return routers.NewSimple() }},
	}}
}

// output can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// command runs a command line.
func (d *desk) command(ctx context.Context, in io.Reader, out, errs io.Writer, args ...string) error {
	root := &cobra.Command{SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(operatorCommands(testClasses(), d.dial)...)
	root.AddCommand(migrateCommand())
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	return root.ExecuteContext(ctx)
}

// run runs a command line and returns what it printed.
func (d *desk) run(args ...string) (out, errs string, err error) {
	d.Helper()
	var o, e output
	err = d.command(d.Context(), strings.NewReader(""), &o, &e, args...)
	return o.String(), e.String(), err
}

func (d *desk) mustRun(args ...string) string {
	d.Helper()
	out, errs, err := d.run(args...)
	if err != nil {
		d.Fatalf("%v: %v\n%s%s", args, err, out, errs)
	}
	return out
}

// declare makes the queues of the fleet.
func (d *desk) declare() {
	d.Helper()
	for _, connector := range []string{d.transport, d.app} {
		for _, flow := range []string{".inbound", ".outbound", ".event"} {
			key := connector + flow
			d.must(d.broker.Declare(d.Context(), broker.Queue{Name: key, Keys: []string{key}}))
		}
	}
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) publish(key string, n int) {
	d.Helper()
	for i := range n {
		m := message.New()
		m.ID, m.From, m.To, m.Content = fmt.Sprint("m", i), "+27821234567", "12345", "very private"
		d.must(d.broker.Publish(d.Context(), broker.Publication{Key: key, Body: m.Encode()}))
	}
}

// deadLetterNow puts a body into the dead letters of the transport's inbound queue.
func (d *desk) deadLetterNow(body, reason, cause string) {
	d.Helper()
	queue := d.transport + ".inbound" + broker.DeadSuffix
	d.must(d.broker.Declare(d.Context(), broker.Queue{Name: queue}))
	hourAgo := time.Now().Add(-time.Hour - time.Minute).UTC().Format(time.RFC3339)
	d.must(d.broker.Publish(d.Context(), broker.Publication{Queue: queue, Body: []byte(body), Headers: broker.Headers{
		worker.HeaderReason: reason, worker.HeaderError: cause, worker.HeaderAttempts: "12", worker.HeaderWorker: "join",
		worker.HeaderFirstFailed: hourAgo, worker.HeaderLastFailed: hourAgo, worker.HeaderKey: d.transport + ".inbound",
	}}))
}

func (d *desk) waiting(queue string) int {
	d.Helper()
	counts, err := queues.Waiting(d.Context(), d.broker, []string{queue})
	d.must(err)
	return queues.Sum(counts)
}

func (d *desk) await(what string, ok func() bool) {
	d.Helper()
	testutil.Eventually(d, what, ok)
}

func (d *desk) wants(text string, parts ...string) {
	d.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			d.Errorf("%q is missing from:\n%s", part, text)
		}
	}
}

// row is a line of a table with its columns one space apart.
func row(text, name string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name) || strings.Contains(line, " "+name+" ") {
			return strings.TrimSpace(regexp.MustCompile(` +`).ReplaceAllString(line, " "))
		}
	}
	return ""
}

func testStatus(d *desk) {
	in, out := d.transport+".inbound", d.app+".outbound"
	if got := row(d.mustRun("status", d.dir), in); got != in+" 0 0 0 0 0 missing -" {
		d.Errorf("before the fleet: %s", got)
	}
	d.declare()
	d.publish(in, 3)
	d.deadLetterNow("{}", "invalid", "x")
	ctx, stop := context.WithCancel(d.Context())
	consumed := make(chan error, 1)
	go func() {
		consumed <- d.broker.Consume(ctx, broker.Queue{Name: out}, 1, func(x *broker.Delivery) { x.Ack() })
	}()
	d.await("the consumer is there", func() bool {
		info, err := d.broker.Inspect(d.Context(), out)
		return err == nil && info.Consumers == 1
	})
	text, _, err := d.run("status", d.dir)
	if err == nil || !strings.Contains(err.Error(), "1 queue stuck") || !strings.Contains(err.Error(), in) {
		d.Errorf("stuck: %v", err)
	}
	for name, want := range map[string]string{in: in + " 3 0 0 0 1 stuck -", out: out + " 0 ? 0 1 0 ok ?", d.app + ".event": d.app + ".event 0 0 0 0 0 no consumer -"} {
		if got := row(text, name); got != want {
			d.Errorf("got %q, want %q", got, want)
		}
	}
	if !regexp.MustCompile(regexp.QuoteMeta(in) + `: the oldest is of unknown age \(--age looks\); limited by no consumer`).MatchString(text) {
		d.Errorf("it does not say what limits:\n%s", text)
	}
	var all []queues.Status
	d.must(d.broker.Browse(d.Context(), in, 3, func(x *broker.Delivery) (broker.Verdict, error) {
		if x.Redelivered {
			d.Error("a look without --age marks the head as redelivered")
		}
		return broker.Keep, nil
	}))
	text, _, _ = d.run("status", "--age", d.dir)
	if !regexp.MustCompile(regexp.QuoteMeta(in) + `: the oldest is \d+[sm] old; limited by no consumer`).MatchString(text) {
		d.Errorf("it does not say how old the head is:\n%s", text)
	}
	text, _, _ = d.run("status", "--age", "--json", in+broker.DeadSuffix, out)
	d.must(json.Unmarshal([]byte(text), &all))
	if len(all) > 0 && (all[0].Oldest == nil || time.Since(*all[0].Oldest) > time.Hour) {
		d.Errorf("the oldest is of %v", all[0].Oldest)
	} else if len(all) > 0 {
		all[0].Oldest = nil
	}
	if none := int64(0); len(all) != 2 || !reflect.DeepEqual(all[0], queues.Status{Queue: in, Messages: 3, InFlight: &none, Dead: 1, State: queues.Stuck, LimitedBy: "no consumer"}) ||
		!reflect.DeepEqual(all[1], queues.Status{Queue: out, Consumers: 1, State: queues.OK}) {
		d.Errorf("got %+v", all)
	}
	stop()
	d.must(<-consumed)
}

// process is a process that says what the test wants of a transport's worker.
func (d *desk) process() (url string, say func(held int64, health message.Health)) {
	var status atomic.Pointer[fleet.Status]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(status.Load())
	}))
	d.Cleanup(server.Close)
	say = func(held int64, health message.Health) {
		status.Store(&fleet.Status{Broker: fleet.BrokerStatus{Connected: true}, Workers: []fleet.WorkerStatus{{
			Name: "sms", Kind: fleet.KindTransport, Connector: d.transport, Running: true, Held: map[string]int64{d.transport + ".outbound": held},
			Dependencies: []worker.Dependency{{
				Kind: worker.DependsOnLink, Name: "bind", Health: health, Reason: "connection refused\x1b[2J", Since: time.Now().Add(-5 * time.Minute),
			}},
		}, {
			Name: "join", Kind: fleet.KindDispatcher, Transports: []string{d.transport}, Exposed: []string{d.app}, Running: true,
			Held: map[string]int64{d.app + ".outbound": 7},
		}}})
	}
	say(0, message.OK)
	return server.URL, say
}

var someSeconds = regexp.MustCompile(`5m\d+s`)

// What workers hold and the links they need are part of the answer; where neither can
// be known, that is said, and a queue is not called empty.
func testLinks(d *desk) {
	d.declare()
	queue, dispatched := d.transport+".outbound", d.app+".outbound"
	ctx, stop := context.WithCancel(d.Context())
	consumed := make(chan error, 2)
	for _, name := range []string{queue, dispatched} {
		go func() {
			consumed <- d.broker.Consume(ctx, broker.Queue{Name: name}, 1, func(x *broker.Delivery) { x.Ack() })
		}()
		d.await("the consumer is there", func() bool {
			info, err := d.broker.Inspect(d.Context(), name)
			return err == nil && info.Consumers == 1
		})
	}
	_, _, err := d.run("wait", "--timeout", "20s", queue)
	if exitCode(err) != exitUnreachable || !strings.Contains(err.Error(), "how much is in flight is not known of "+queue) {
		d.Errorf("wait without anybody to ask: %v", err)
	}
	if text, errs, err := d.run("status", queue); err != nil || row(text, queue) != queue+" 0 ? 0 1 0 ok ?" || !strings.Contains(errs, "is not known of 1 queue") {
		d.Errorf("status without anybody to ask: %v\n%s%s", err, text, errs)
	}
	url, say := d.process()
	for _, c := range []struct {
		held   int64
		health message.Health
		row    string
		code   int
		strict int
	}{
		{0, message.OK, " 0 0 0 1 0 ok ok", exitOK, exitOK},
		{2, message.Degraded, " 0 2 0 1 0 ok link bind degraded for 5m0s: connection refused\\x1b[2J", exitOK, exitOK},
		{0, message.Down, " 0 0 0 1 0 link down link bind down for 5m0s: connection refused\\x1b[2J", exitOK, exitFailed},
		{100, message.Down, " 0 100 0 1 0 held up link bind down for 5m0s: connection refused\\x1b[2J", exitFailed, exitFailed},
	} {
		say(c.held, c.health)
		text, _, err := d.run("status", "--process", url, queue)
		text = someSeconds.ReplaceAllString(text, "5m0s") // that have passed on a busy machine
		if got := exitCode(err); row(text, queue) != queue+c.row || got != c.code {
			d.Errorf("%d %s: exit code %d, %v\n%s", c.held, c.health, got, err, text)
		}
		if _, _, err := d.run("status", "--strict", "--process", url, queue); exitCode(err) != c.strict {
			d.Errorf("%d %s, strictly: %v", c.held, c.health, err)
		}
	}
	if _, _, err := d.run("wait", "--timeout", "10ms", "--process", url, queue); exitCode(err) != exitFailed || !strings.Contains(err.Error(), queue+" (100)") {
		d.Errorf("wait for what is in flight: %v", err)
	}
	say(0, message.OK)
	if text := d.mustRun("status", "--process", url, dispatched); row(text, dispatched) != dispatched+" 0 7 0 1 0 ok -" {
		d.Errorf("a dispatcher's queue, named without its file:\n%s", text)
	}
	d.mustRun("wait", "--timeout", "20s", "--process", url, queue)
	if _, _, err := d.run("status", "--process", "http://127.0.0.1:1", queue); exitCode(err) != exitUnreachable {
		d.Errorf("a process that does not answer: %v", err)
	}
	stop()
	d.must(<-consumed)
	d.must(<-consumed)
}

// A name with a slip in it is never answered with the all-clear.
func testTypos(d *desk) {
	in := d.transport + ".inbound"
	d.declare()
	d.deadLetterNow(deadLetter("m1"), "exhausted", "x")
	for want, args := range map[string][]string{
		"the broker has no queue " + d.transport + `.inbuond; did you mean "` + in + `"?`: {"wait", d.transport + ".inbuond"},
		"the broker has no queue nosuch": {"status", "nosuch"},
		"no queue nosuch.inbound":        {"clear", "--yes", d.dir, "nosuch.inbound"},
		"no queue nosuch.event":          {"failures", "list", "--queue", "nosuch.event"},
		`--queue ` + d.transport + `.inbond is none of the queues of what is named; did you mean "` + in + `"?`: {"failures", "list", "--queue", d.transport + ".inbond", d.dir},
		`--reason exausted is none of invalid, permanent, exhausted, panic; did you mean "exhausted"?`:          {"failures", "list", "--reason", "exausted", d.dir},
		"no queue of a connector nosuch": {"tail", "nosuch", d.transport},
		"--timeout must not be negative": {"wait", "--timeout", "-1s", d.dir},
		"--limit must be at least 1":     {"failures", "list", "--limit", "0", d.dir},
	} {
		out, _, err := d.run(args...)
		if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitMisused {
			d.Errorf("%q: %v\n%s\nwant %s", args, err, out, want)
		}
	}
	for _, command := range []string{"list", "show", "retry", "drop"} {
		args := []string{"failures", command, "--id", "m2", d.dir}
		if command == "drop" {
			args = append(args, "--yes")
		}
		if _, _, err := d.run(args...); err == nil || !strings.Contains(err.Error(), "identifier m2") || exitCode(err) != exitFailed {
			d.Errorf("%s of an identifier that is none: %v", command, err)
		}
	}
}

func testClear(d *desk) {
	d.declare()
	in, other := d.transport+".inbound", d.app+".event"
	d.publish(in, 2)
	d.publish(other, 3)
	d.deadLetterNow("{}", "invalid", "x")
	var wrong operate.Misuse
	if _, _, err := d.run("clear", d.dir); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "5 messages in 6 queues") {
		d.Errorf("without --yes: %v", err)
	}
	d.await("they are all back", func() bool { return d.waiting(in) == 2 && d.waiting(other) == 3 })
	d.wants(d.mustRun("clear", "--yes", in), "2 messages deleted")
	if n := d.waiting(other); n != 3 {
		d.Errorf("%d are left in the other queue", n)
	}
	d.wants(d.mustRun("clear", "--yes", d.dir), other+": 3 messages deleted\n")
	if n := d.waiting(in + broker.DeadSuffix); n != 1 {
		d.Errorf("%d dead letters are left", n)
	}
}

// The processes that share the database follow what `pause` and `resume` write there.
func testPause(d *desk) {
	d.declare()
	database := "sqlite:" + filepath.Join(d.dir, "state.db")
	d.mustRun("migrate", "--database-url", database)
	db, err := fleet.OpenDatabase(d.Context(), database, slog.New(slog.DiscardHandler))
	d.must(err)
	defer func() { d.must(db.Close()) }()
	in := d.transport + ".inbound"
	pauses := func() map[string]worker.Pause {
		all, err := worker.ReadPauses(d.Context(), db)
		d.must(err)
		return all
	}
	d.wants(d.mustRun("pause", "--database-url", database, "--why", "maintenance", in), in+" is paused\n")
	if all := pauses(); len(all) != 1 || all[in].Why != "maintenance" || all[in].Who != whoami() || all[in].Since.IsZero() {
		d.Errorf("paused are %+v", all)
	}
	d.wants(d.mustRun("resume", "--database-url", database, in), in+" is resumed\n")
	if all := pauses(); len(all) != 0 {
		d.Errorf("paused are still %+v", all)
	}
}

// Messages move to another transport in their order, marked where they may have gone before,
// and only while nobody consumes their queue.
func testMove(d *desk) {
	d.declare()
	from, to := d.transport+".outbound", d.app+".outbound"
	for i, text := range []string{"one", "two", "three", "two more"} {
		m := message.New()
		m.ID, m.From, m.To, m.Content, m.TransportName = fmt.Sprint("m", i), "12345", "+2782123456"+fmt.Sprint(i), text, d.transport
		tried := broker.Headers{}
		if text == "three" {
			tried[worker.HeaderAttempts] = "1"
		}
		d.must(d.broker.Publish(d.Context(), broker.Publication{Key: from, Body: m.Encode(), Headers: tried}))
	}
	ctx, stop := context.WithCancel(d.Context())
	held, ended := make(chan *broker.Delivery, 1), make(chan error, 1)
	go func() {
		ended <- d.broker.Consume(ctx, broker.Queue{Name: from, Keys: []string{from}}, 1, func(one *broker.Delivery) { held <- one })
	}()
	one := <-held
	var wrong operate.Misuse
	database := "sqlite:" + filepath.Join(d.dir, "history.db")
	d.mustRun("migrate", "--database-url", database)
	if _, _, err := d.run("move", "--database-url", database, d.transport, d.app); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "switchboard pause "+from) {
		d.Errorf("while it is consumed: %v", err)
	}
	if text := d.mustRun("failures", "history", "--database-url", database); strings.Contains(text, from) {
		d.Errorf("what was refused is in the history:\n%s", text)
	}
	stop()
	one.Requeue()
	d.must(<-ended)
	d.wants(d.mustRun("move", "--dry-run", "--text", "two", d.transport, d.app), "2 messages would be moved to "+d.app+"; 2 left\n")
	d.wants(d.mustRun("move", "--text", "two", "--limit", "1", d.transport, d.app), "1 message moved to "+d.app+"; 3 left\n")
	if _, _, err := d.run("move", "--application", "nosuch", d.transport, d.app); !errors.As(err, &wrong) {
		d.Errorf("for an application that sent nothing: %v", err)
	}
	d.wants(d.mustRun("move", "--to-addr", "+27", d.transport, d.app), "3 messages moved to "+d.app+"; 0 left\n")
	var moved []string
	d.must(d.broker.Browse(d.Context(), to, 10, func(got *broker.Delivery) (broker.Verdict, error) {
		m, err := message.Decode(got.Body)
		d.must(err)
		moved = append(moved, m.Content)
		again := m.Content == "one" || m.Content == "three"
		if m.TransportName != d.app || again && !message.Again(&m.RoutingMetadata) {
			d.Errorf("moved is %s", got.Body)
		}
		return broker.Keep, nil
	}))
	if want := []string{"two", "one", "three", "two more"}; !slices.Equal(moved, want) {
		d.Errorf("moved are %q, want %q", moved, want)
	}
}

// What waits for its next try is of its queue: `status` counts it, and `wait` waits for it.
func testRetries(d *desk) {
	d.declare()
	in, other := d.transport+".inbound", d.app+".event"
	for range 2 {
		d.must(d.broker.Publish(d.Context(), broker.Publication{Queue: in, Body: []byte("later"), Delay: 5 * time.Second}))
	}
	text, _, err := d.run("status", d.dir)
	if got := row(text, in); got != in+" 0 0 2 in 5s 0 0 stuck -" || exitCode(err) != exitFailed {
		d.Errorf("status: %q, %v", got, err)
	}
	if got := row(text, other); got != other+" 0 0 0 0 0 no consumer -" {
		d.Errorf("another queue: %q", got)
	}
	if _, _, err := d.run("wait", "--timeout", "10ms", d.dir); err == nil || !strings.Contains(err.Error(), in+" (2 wait for a retry)") {
		d.Errorf("wait: %v", err)
	}
	d.mustRun("wait", "--timeout", "20s", other)
	d.await("they return", func() bool { return d.waiting(in) == 2 })
	if got := row(d.mustRun("status", "--json", other), `"retrying"`); got != "" {
		d.Errorf("nothing waits for a retry, and status says %s", got)
	}
}

func testWait(d *desk) {
	d.mustRun("wait", d.dir) // no queue is as good as an empty one
	d.declare()
	in := d.transport + ".inbound"
	d.publish(in, 1)
	if _, _, err := d.run("wait", "--timeout", "10ms", d.dir); err == nil || !strings.Contains(err.Error(), in+" (1)") {
		d.Errorf("with a timeout: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := d.run("wait", "--timeout", "20s", in)
		done <- err
	}()
	if _, err := d.broker.Purge(d.Context(), in); err != nil {
		d.Fatal(err)
	}
	d.must(<-done)
}
