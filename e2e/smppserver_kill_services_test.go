//go:build services

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
	"switchboard/smpp/pdu"
)

const (
	fromACME = 3000 // messages the customer submits
	toACME   = 500  // messages people send
)

// A customer's SMPP server is killed twice under its traffic: once the same
// process starts again, once another that stood by takes over while the customer
// is away. Everything that was answered reaches the SMSC, with its receipt back
// at the customer, and everything people wrote reaches the customer.
func TestSMPPServerKilled(t *testing.T) {
	t.Parallel()
	f := startCustomers(t)
	const n = fromACME
	versions := []uint8{pdu.Version34, pdu.Version34, pdu.Version33}
	f.esme.give(0, 2*n/3)
	f.esme.come(versions...)

	f.awaitAnswered(n / 3)
	f.server.kill()
	began := time.Now()
	f.server = start(t, "customers", f.yaml, f.env...)
	t.Logf("killed after %d answers; it serves again after %s", n/3, time.Since(began).Round(time.Millisecond))

	f.awaitAnswered(2 * n / 3)
	f.esme.leave()
	eventually(t, "much is kept for the customer", func() bool { return f.kept(f.server) > 100 })
	standby := launch(t, "standby", f.env, "run", f.file)
	eventually(t, "another process stands by", func() bool { return strings.Contains(standby.logged(), "standing by") })
	if answer := f.ready(standby); !strings.Contains(answer, "not ready") {
		t.Errorf("one that stands by says it is %s", answer)
	}
	kept := f.kept(f.server)
	f.server.kill()
	began = time.Now()
	standby.await("/readyz")
	f.server = standby
	t.Logf("killed with %d kept; the other serves after %s", kept, time.Since(began).Round(time.Millisecond))
	eventually(t, "what was kept is there", func() bool { return f.kept(f.server) >= kept })

	f.esme.give(2*n/3, n)
	f.esme.come(versions...)
	f.awaitAll(n)
	f.check(n)
}

// customers is a fleet that an SMPP client uses, on servers of its own.
type customers struct {
	*testing.T
	*servers
	env    []string
	yaml   string
	file   string // that the standby runs
	broker *rabbitmq.Broker
	smsc   *smscProcess
	server *process
	esme   *esme
	op     operator
}

// startCustomers starts it; more is for the environment of the transport.
func startCustomers(t *testing.T, more ...string) *customers {
	t.Helper()
	s := startServers(t, "rabbitmq", "postgres")
	f := &customers{T: t, servers: s, env: []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL")}}
	f.op = operator{t, f.env}
	f.op.must("migrate")
	f.smsc = startSimulator(t, "smsc", customersSMSC)
	port := freePort(t)
	f.yaml = fmt.Sprintf(customersYAML, port)
	f.file = filepath.Join(t.TempDir(), "customers.yaml")
	if err := os.WriteFile(f.file, []byte(f.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	f.server = start(t, "customers", f.yaml, f.env...)
	start(t, "record", customersRecordYAML, f.env...)
	start(t, "join", customersJoinYAML, f.env...)
	start(t, "smpp_out", fmt.Sprintf(customersOutYAML, f.smsc.port), slices.Concat(f.env, more)...)
	f.broker = connect(t, s.url("AMQP_URL"))
	f.esme = newESME(t, port)
	t.Cleanup(f.show)
	return f
}

// The SMSC's receipts come while the customer is there, and while it is not.
const customersSMSC = `
listen: %s
http: %s
record: %s
seed: 3
accounts: [{system_id: switchboard, password: secret}]
behaviour:
  answers: {delay: 1ms..5ms}
  receipts: {delay: 100ms..2s}
  delivery: {retries: 1000, pause: 500ms}
  generate: {rate: 25, count: 500, from: "316########", to: "9292", texts: ["to acme {n}"]}
`

const customersYAML = `
application_class: smpp_server
worker_name: customers
transport_name: customers
interface: ${CUSTOMERS_INTERFACE:-127.0.0.1}
smpp_port: %d
customers:
  acme:
    password: secret
    addresses: ["9292"]
    send_via: smpp_out
`

const customersJoinYAML = `
router_class: simple
transport_names: [smpp_out]
exposed_names: [customers]
route_mappings: {smpp_out: [customers]}
`

const customersOutYAML = `
transport_class: smpp
transport_name: smpp_out
host: 127.0.0.1
port: %d
system_id: switchboard
password: secret
window: 20
`

const customersRecordYAML = `
worker_class: persistence
transport_names: [smpp_out]
exposed_names: [customers]
`

func (f *customers) awaitAnswered(n int) {
	f.Helper()
	testutil.EventuallyWithin(f.T, patience, fmt.Sprint(n, " submits are answered"), func() bool {
		answered, _, _ := f.esme.done()
		return answered >= n
	})
}

func (f *customers) awaitAll(n int) {
	f.Helper()
	testutil.EventuallyWithin(f.T, patience, "all is answered, receipted and heard", func() bool {
		answered, receipted, heard := f.esme.done()
		return answered == n && receipted == n && heard == toACME
	})
}

var queuedMetric = regexp.MustCompile(`(?m)^switchboard_smpp_server_queued\{.*customer="acme".*\} ([0-9.e+]+)$`)

// kept is how much waits for the customer, as a process's /metrics say.
func (f *customers) kept(p *process) int {
	f.Helper()
	found := queuedMetric.FindStringSubmatch(f.get(p, "/metrics"))
	if found == nil {
		return 0
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		f.Fatal(err)
	}
	return int(n)
}

func (f *customers) ready(p *process) string { return f.get(p, "/readyz") }

func (f *customers) get(p *process, path string) string {
	f.Helper()
	answer, err := http.Get(p.http + path)
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		f.Fatal(err)
	}
	return string(body)
}

// check sees that everything came, and hardly anything twice.
func (f *customers) check(n int) {
	f.Helper()
	eventually(f.T, "nothing is kept any more", func() bool { return f.kept(f.server) == 0 })
	f.esme.leave()
	f.smsc.stop() // its record is complete only then
	taken, again := f.smsc.taken(), 0
	for _, times := range taken {
		again += times - 1
	}
	e := f.esme
	resubmitted := e.submits - n
	if len(taken) != n || again > resubmitted {
		f.Errorf("the SMSC has %d different messages of %d, %d more than once; %d were submitted again", len(taken), n, again, resubmitted)
	}
	receipts, twice := repeats(e.receipts)
	heard, heardTwice := repeats(e.heard)
	// What was on its way to the customer at one of the two kills or the leave.
	const most = 3 * 3 * 10
	if unknown := receipts - n; unknown > resubmitted || twice > most || heardTwice > most {
		f.Errorf("%d receipts were for no answer; %d receipts and %d messages came twice", unknown, twice, heardTwice)
	}
	if len(e.bad) > 0 {
		f.Errorf("%d receipts are no good: %q", len(e.bad), e.bad[0])
	}
	f.Logf("%d submits in %d binds for %d messages, refused %v; the SMSC has %d again; %d receipts twice, %d for unanswered submits; %d messages from people, %d twice",
		e.submits, e.logins, n, e.refused, again, twice, receipts-n, heard, heardTwice)
	f.checkDead()
	f.checkAudit()
}

func repeats(counts map[string]int) (different, again int) {
	for _, n := range counts {
		again += n - 1
	}
	return len(counts), again
}

func (f *customers) checkDead() {
	f.Helper()
	for _, queue := range []string{"customers.inbound", "customers.event", "customers.outbound", "smpp_out.inbound", "smpp_out.event", "smpp_out.outbound"} {
		if info, err := f.broker.Inspect(f.Context(), queue+broker.DeadSuffix); err == nil && info.Messages > 0 {
			f.Errorf("%d are in %s%s", info.Messages, queue, broker.DeadSuffix)
		}
	}
}

// checkAudit waits until the record has all, and has the program prove it.
func (f *customers) checkAudit() {
	f.Helper()
	var counts map[string]int
	var clean bool
	eventually(f.T, "the audit is clean", func() bool {
		counts, clean = f.op.audit()
		return clean && counts["I R"] == toACME
	})
	f.Logf("audit: %v", counts)
}

// show says after a failure where things are.
func (f *customers) show() {
	if !f.Failed() {
		return
	}
	answered, receipted, heard := f.esme.done()
	f.Logf("%d answered, %d receipted, %d heard, refused %v", answered, receipted, heard, f.esme.refused)
	count, _ := f.smsc.count()
	f.Logf("the SMSC: %+v", count)
	log := f.server.logged()
	f.Logf("the server's log ends:\n%s", log[max(0, len(log)-5000):])
}
