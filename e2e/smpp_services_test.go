//go:build services

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
	"switchboard/store"
	"switchboard/store/postgres"
)

const (
	// smppMessages is how many messages are sent unless SMPP_MESSAGES says
	// otherwise. 50,000 of them take about five minutes, for the SMSCs' rates and stops.
	smppMessages = 4000
	// dutch is one message in so many: the Dutch SMSC is the slower one.
	dutch = 5
	// smppPatience is how long the last message may take to be done with, beside
	// the time the rates take.
	smppPatience = 2 * time.Minute
)

func smppCount(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SMPP_MESSAGES")
	if text == "" {
		return smppMessages
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < dutch {
		t.Fatalf("SMPP_MESSAGES is %q; write a number of at least %d", text, dutch)
	}
	return n
}

// Two applications in two countries share two SMPP transports, each of which is
// killed twice, towards two SMSCs that misbehave differently. Every message
// ends delivered or with a reason, and neither SMSC gets more than its rate.
func TestTwoCountriesOverSMPP(t *testing.T) {
	t.Parallel()
	n := smppCount(t)
	f := startCountries(t)
	began := time.Now()
	f.send(n)
	t.Logf("%d messages were handed over in %s", n, time.Since(began).Round(time.Millisecond))
	testutil.EventuallyWithin(t, time.Duration(n/200)*time.Second+smppPatience, "both transports are killed twice", func() bool {
		// Each dies under the traffic, after each third of its share.
		f.netherlands.kill(n / dutch)
		f.kenya.kill(n - n/dutch)
		return f.netherlands.killed == kills && f.kenya.killed == kills
	})
	t.Cleanup(f.showStuck)
	testutil.EventuallyWithin(t, time.Duration(n/200)*time.Second+smppPatience, "every message is done with", f.done(n))
	t.Logf("all were done with after %s", time.Since(began).Round(time.Second))
	f.checkRecord(n)
	f.checkAudit()
	f.netherlands.check(netherlandsTPS)
	f.kenya.check(kenyaTPS)
}

// country is a transport and its SMSC.
type country struct {
	t         *testing.T
	name      string
	env       []string
	yaml      string
	smsc      *smscProcess
	transport *process
	killed    int
	log       string // of those that were killed
}

func newCountry(t *testing.T, name, simulated, transport string, env ...string) *country {
	t.Helper()
	c := &country{t: t, name: name, yaml: transport, smsc: startSimulator(t, name, simulated)}
	c.env = append(env, fmt.Sprintf("SMSC_PORT=%d", c.smsc.port))
	return c
}

func (c *country) start() { c.transport = start(c.t, c.name, c.yaml, c.env...) }

// kills is how often each transport dies.
const kills = 2

// kill ends the transport as a crash does, and starts it again, when the SMSC
// has taken so much of its share that it is time.
func (c *country) kill(share int) {
	c.t.Helper()
	count, err := c.smsc.count()
	if err != nil {
		c.t.Fatal(err)
	}
	if due := uint64((c.killed + 1) * share / (kills + 1)); c.killed < kills && count.Accepted >= due {
		c.killed++
		c.transport.kill()
		c.log += c.transport.logged()
		c.start()
	}
}

type countries struct {
	t                  *testing.T
	broker             *rabbitmq.Broker
	db                 *postgres.DB
	databaseURL        string
	netherlands, kenya *country
}

func startCountries(t *testing.T) *countries {
	t.Helper()
	s := startServers(t, "rabbitmq", "postgres")
	f := &countries{t: t, databaseURL: s.url("DATABASE_URL")}
	if out, err := exec.Command(program, "migrate", "--database-url", f.databaseURL).CombinedOutput(); err != nil {
		t.Fatalf("migrating: %v\n%s", err, out)
	}
	env := []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + f.databaseURL}
	start(t, "record", countriesRecordYAML, env...)
	for _, name := range []string{"club", "helpdesk"} {
		start(t, name, "application_class: echo\ntransport_name: "+name+"\n", env...)
	}
	start(t, "countries", countriesYAML, env...)
	f.netherlands = newCountry(t, "smpp_nl", netherlandsYAML, netherlandsTransport, env...)
	f.kenya = newCountry(t, "smpp_ke", kenyaYAML, kenyaTransport, env...)
	f.netherlands.start()
	f.kenya.start()
	f.broker = connect(t, s.url("AMQP_URL"))
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: f.databaseURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f.db = db
	return f
}

// send gives the applications' messages to the dispatcher: the club's and the
// helpdesk's in turns.
func (f *countries) send(n int) {
	f.t.Helper()
	confirms := make(chan error, n)
	for i := range n {
		m := outgoing(i)
		app := [...]string{"club", "helpdesk"}[i/dutch%2]
		f.broker.PublishAsync(f.t.Context(), broker.Publication{Key: app + ".outbound", Body: m.Encode()}, func(err error) { confirms <- err })
	}
	for range n {
		if err := <-confirms; err != nil {
			f.t.Fatal(err)
		}
	}
}

// done says whether all messages out have ended, and all messages in are
// answered.
func (f *countries) done(n int) func() bool {
	shown := time.Now()
	return func() bool {
		audit, err := f.db.Audit(f.t.Context(), store.AuditLimits{Stuck: time.Hour})
		if err != nil {
			f.t.Fatal(err)
		}
		sum := map[string]int64{}
		for _, c := range audit.Counts {
			sum[fmt.Sprintf("%s-%s", c.Direction, c.Status)] += c.N
		}
		if time.Since(shown) > 10*time.Second {
			shown = time.Now()
			f.t.Logf("%v", sum)
		}
		out, in := sum["O-D"]+sum["O-E"], sum["I-R"]
		return out >= int64(n) && sum["O-P"]+sum["O-S"]+sum["O-Q"]+sum["I-Q"] == 0 && out >= int64(n)+in
	}
}

// showStuck says after a failure what is known of messages that are not done with.
func (f *countries) showStuck() {
	if !f.t.Failed() {
		return
	}
	for r, err := range f.db.Messages(context.Background(), store.Filter{Status: store.StatusSent}) {
		if err != nil {
			f.t.Error(err)
			return
		}
		f.t.Logf("stuck: %+v", r)
		for _, c := range []*country{f.netherlands, f.kenya} {
			text, _ := os.ReadFile(c.smsc.record)
			for line := range strings.Lines(string(text) + c.log + c.transport.logged()) {
				if strings.Contains(line, r.ID) || strings.Contains(line, strings.Trim(r.Address, "+")) {
					f.t.Logf("  %s: %s", c.name, line)
				}
			}
		}
	}
	for _, c := range []*country{f.netherlands, f.kenya} {
		count, _ := c.smsc.count()
		f.t.Logf("%s: %+v", c.name, count)
	}
}

// checkRecord sees that every message that was sent is in the record, where it
// belongs, with a reason if it failed.
func (f *countries) checkRecord(n int) {
	f.t.Helper()
	ends := map[string]int{}
	sent := 0
	for r, err := range f.db.Messages(f.t.Context(), store.Filter{Direction: store.Outbound}) {
		if err != nil {
			f.t.Fatal(err)
		}
		if strings.HasPrefix(r.Text, "message ") {
			sent++
			if want := f.route(r.Address); r.Backend != want {
				f.t.Errorf("the message to %s went by %s, not %s", r.Address, r.Backend, want)
			}
		}
		end := r.Backend + " " + string(r.Status)
		if r.Status == store.StatusError {
			end += " " + r.Reason
			if r.Reason == "" {
				f.t.Errorf("message %s failed for no reason", r.ID)
			}
		}
		ends[end]++
	}
	if sent != n {
		f.t.Errorf("%d messages are in the record; %d were sent", sent, n)
	}
	for end, count := range ends {
		f.t.Logf("%6d %s", count, end)
	}
}

func (f *countries) route(address string) string {
	if strings.HasPrefix(address, "+31") {
		return "smpp_nl"
	}
	return "smpp_ke"
}

// checkAudit has the program prove that nothing is missing.
func (f *countries) checkAudit() {
	f.t.Helper()
	out, err := exec.Command(program, "audit", "--database-url", f.databaseURL, "--stuck", "1ms").CombinedOutput()
	if err != nil {
		f.t.Errorf("the audit found something: %v\n%s", err, out)
		return
	}
	f.t.Logf("audit:\n%s", out)
}

// closerPercent is how much more than mt_tps a second of the SMSC's may see on a
// machine that is busy with whole fleets: a pause of 200 ms brings a fifth closer together.
// That the rate holds exactly is shown where a bind sends (transports/smpp/binds).
const closerPercent = 25

// check sees that an SMSC got no more than its rate, but for what the way there
// brings closer together (docs/decisions, mt_tps), and says how often it got what
// it had already.
func (c *country) check(tps int) {
	c.t.Helper()
	count, err := c.smsc.count()
	if err != nil {
		c.t.Fatal(err)
	}
	if most := tps + tps*closerPercent/100 + 1; count.PeakPerSecond > most {
		c.t.Errorf("%s got %d submits in one second; mt_tps is %d", c.name, count.PeakPerSecond, tps)
	}
	c.smsc.stop()
	parts, repeats := 0, 0
	for _, times := range c.smsc.taken() {
		parts++
		repeats += times - 1
	}
	c.t.Logf("%s: peak %d/s of %d; %d submits in %d binds, answers %v, lost %d, late %d; %d parts taken, %d of them again; %d receipts, %d taken",
		c.name, count.PeakPerSecond, tps, count.Submits, count.Binds, count.Answers, count.LostAnswers, count.LateAnswers,
		parts, repeats, count.Receipts, count.ReceiptsTaken)
}
