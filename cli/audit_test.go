package cli

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/store/sqlite"
)

// audits is an operator who audits a fleet whose queues and record the test
// fills by hand.
type audits struct {
	*testing.T
	broker *memory.Broker
	db     store.Database
	dir    string
}

func newAudits(t *testing.T) *audits {
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	a := &audits{T: t, broker: b, dir: t.TempDir()}
	var err error
	if a.db, err = sqlite.Open(t.Context(), filepath.Join(a.dir, "record.db"), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.db.Close() })
	a.must(a.db.Migrate(t.Context()))
	s := &sender{t, a.dir}
	s.file("join.yaml", "router_class: simple\ntransport_names: sms\nexposed_names: app\nroute_mappings: {sms: app}\n")
	s.file("keep.yaml", "worker_class: persistence\ntransport_names: sms\nexposed_names: app\n")
	return a
}

func (a *audits) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// run audits and returns what was printed, and the exit code.
func (a *audits) run(args ...string) (out string, code int) {
	a.Helper()
	classes := testClasses()
	classes.Workers = map[string]fleet.Class[fleet.Standalone]{
		"persistence": {New: func() fleet.Standalone { return persistence.New() }},
	}
	root := &cobra.Command{SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(auditCommand(classes, func(context.Context, string) (broker.Broker, error) {
		return a.broker.Connect(), nil
	}))
	var o output
	root.SetOut(&o)
	root.SetArgs(append([]string{"audit", "--again", "1ms", "--database-url", "sqlite:" + filepath.Join(a.dir, "record.db")}, args...))
	if err := root.ExecuteContext(a.Context()); err != nil {
		return o.String() + "switchboard: " + err.Error(), exitCode(err)
	}
	return o.String(), exitOK
}

func (a *audits) wants(code int, texts []string, args ...string) {
	a.Helper()
	out, got := a.run(args...)
	if got != code {
		a.Errorf("audit %v: exit code %d, want %d\n%s", args, got, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			a.Errorf("audit %v: %q is missing from\n%s", args, text, out)
		}
	}
}

func (a *audits) message(id string) *message.Message {
	m := message.New()
	m.ID, m.To, m.From, m.TransportName = id, "+27831234567", "12345", "sms"
	m.Timestamp = time.Now().Add(-time.Hour)
	return m
}

func (a *audits) handedOver(id string) {
	a.Helper()
	rejected, err := a.db.Record(a.Context(), []store.Envelope{{Direction: store.Outbound, Backend: "sms", Message: a.message(id)}})
	a.must(err)
	if len(rejected) > 0 {
		a.Fatal(rejected)
	}
}

func (a *audits) put(queue, id string) {
	a.Helper()
	a.must(a.broker.Declare(a.Context(), broker.Queue{Name: queue}))
	a.must(a.broker.Publish(a.Context(), broker.Publication{Queue: queue, Body: a.message(id).Encode()}))
}

func TestAuditExitCodes(t *testing.T) {
	a := newAudits(t)
	old := []string{"--stuck", "1us"} // whatever was recorded by now
	all := append(old, a.dir)
	a.wants(exitOK, []string{"accepted 0", "nothing has been waiting"}, all...)
	a.put("sms.outbound", "here")
	a.handedOver("here")
	a.wants(exitOK, nil, a.dir) // not for longer than the limit
	a.wants(exitStuck, []string{"stuck: outbound message here on sms, state P", "1 message is stuck"}, all...)
	a.wants(exitFailed, []string{"1 message is stuck"}, old...) // it may be missing: nobody looked
	a.handedOver("gone")
	a.handedOver("going")
	a.wants(exitFailed, []string{"2 messages are missing", "1 message is stuck", "missing: outbound message ", "no queue holds it"}, all...)
	a.put("sms.outbound.dead", "gone")
	a.wants(exitFailed, []string{"1 message is missing", "stuck: outbound message gone on sms, state P", "dead-lettered in sms.outbound.dead"}, all...)
	a.wants(exitMisused, []string{"--since"}, "--since", "someday")
	for _, wrong := range [][]string{{"--stuck", "-1s"}, {"--stuck", "0s"}, {"--unreported", "-1h"}, {"--max-stuck", "0"}, {"--again", "-1s"}, {"--since", "-24h"}} {
		a.wants(exitMisused, []string{wrong[0]}, append(wrong, a.dir)...)
	}
	a.wants(exitMisused, nil, filepath.Join(a.dir, "nowhere.yaml"))
	a.wants(exitMisused, []string{"management"}, "--management-url", "localhost", a.dir)
	a.wants(exitUnreachable, []string{"refused"}, append(all, "--management-url", "http://127.0.0.1:1")...)
	a.wants(exitMisused, nil, "--database-url", "sqlite:"+filepath.Join(a.dir, "no", "where.db"))
}

func TestAuditJSON(t *testing.T) {
	a := newAudits(t)
	a.handedOver("gone")
	out, _ := a.run("--json", "--stuck", "1us", a.dir)
	var found struct {
		Counts   []store.Count
		Missing  int
		Lost     []store.Record
		Balanced bool
	}
	end := strings.LastIndex(out, "}") + 1
	if err := json.Unmarshal([]byte(out[:end]), &found); err != nil || found.Missing != 1 || len(found.Lost) != 1 ||
		found.Lost[0].ID != "gone" || !found.Balanced || len(found.Counts) != 1 {
		t.Errorf("%v: %+v\n%s", err, found, out)
	}
}

func TestAuditNamesDueReports(t *testing.T) {
	a := newAudits(t)
	for _, id := range []string{"late", "reported"} {
		a.handedOver(id)
		ack := message.NewAck(a.message(id), "")
		ack.Timestamp = time.Now().Add(-2 * time.Hour)
		events := []store.Envelope{{Backend: "sms", Event: ack}}
		if id == "reported" {
			events = append(events, store.Envelope{Backend: "sms", Event: message.NewDeliveryReport(a.message(id), message.Delivered)})
		}
		_, err := a.db.Record(t.Context(), events)
		a.must(err)
	}
	a.wants(exitOK, []string{"waiting for a delivery report: outbound message late on sms, state S for 2h0m"}, "--stuck", "1us", a.dir)
	if out, _ := a.run("--unreported", "3h", a.dir); strings.Contains(out, "delivery report") {
		t.Errorf("too early:\n%s", out)
	}
}

func TestAuditNamesEventsWithoutAMessage(t *testing.T) {
	a := newAudits(t)
	_, err := a.db.Record(t.Context(), []store.Envelope{{Backend: "sms", Event: message.NewAck(a.message("never"), "p1")}})
	a.must(err)
	a.wants(exitFailed, []string{"event of a message that never came: sent of outbound message never"})
	out, _ := a.run("--since", "2099-01-01")
	if strings.Contains(out, "never came") {
		t.Errorf("the audit of another time names it:\n%s", out)
	}
}
