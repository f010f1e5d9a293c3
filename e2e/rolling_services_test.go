//go:build services

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A friendly SMSC: people write through it, and get answers.
const smscYAML = `
listen: %s
http: %s
record: %s
seed: 1
accounts: [{system_id: switchboard, password: secret}]
behaviour:
  answers: {delay: 5ms..20ms}
  receipts: {form: tlv, delay: ~200ms}
  delivery: {retries: 100, pause: 200ms}
  generate: {rate: 40, count: 400, from: "2547########", to: "40404", texts: ["text {n}"]}
`

const (
	rollingTexts     = 400
	rounds           = 2
	rollingRouteYAML = `
router_class: simple
transport_names: [load, smpp_a, smpp_b, vumi]
exposed_names: [echo]
route_mappings: {load: echo, smpp_a: echo, smpp_b: echo, vumi: echo}
worker_name: join
`
	rollingRecordYAML = `
worker_class: persistence
worker_name: keep
transport_names: [load, smpp_a, smpp_b, vumi]
exposed_names: [echo]
`
)

// Every worker of a fleet is told to stop and started again under load, once by SIGTERM and
// once by /-/drain, two replicas one after the other: each ends with 0, and nothing is lost
// and nothing done twice.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	s, o := startRecord(t)
	load := newPeople(t, connect(t, s.url("AMQP_URL")), "load", true)
	type replica struct {
		name, yaml string
		env        []string
		running    *process
	}
	fleet := []*replica{
		{name: "keep", yaml: rollingRecordYAML},
		{name: "keep", yaml: rollingRecordYAML},
		{name: "echo", yaml: echoYAML},
		{name: "echo", yaml: echoYAML},
		{name: "join", yaml: rollingRouteYAML},
		{name: "join", yaml: rollingRouteYAML},
		{name: "failures", yaml: "worker_class: failures\ntransport_names: [vumi]\n"},
	}
	smscs := map[string]*smscProcess{}
	for _, name := range []string{"smpp_a", "smpp_b"} {
		smscs[name] = startSimulator(t, name, smscYAML)
		fleet = append(fleet, &replica{
			name: name, yaml: transportYAML(name, 0, 10, ""), env: []string{fmt.Sprintf("SMSC_PORT=%d", smscs[name].port)},
		})
	}
	for _, r := range fleet {
		r.running = start(t, r.name, r.yaml, append(r.env, o.env...)...)
	}

	rolled := make(chan struct{})
	n := 0
	loaded := make(chan struct{})
	stopLoad := sync.OnceFunc(func() {
		close(rolled)
		<-loaded
	})
	defer stopLoad()
	go func() {
		defer close(loaded)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			ids, err := load.trySend(100)
			if n += len(ids); err != nil {
				t.Errorf("after %d messages: %v", n, err)
				return
			}
			select {
			case <-rolled:
				return
			case <-tick.C:
			}
		}
	}()
	for i := range rounds * len(fleet) { // an odd number of workers: each is told in both ways
		r := fleet[i%len(fleet)]
		r.running.endWell(i%2 == 0)
		r.running = start(t, r.name, r.yaml, append(r.env, o.env...)...)
	}
	stopLoad()
	load.await(n, patience)
	all := n + 2*rollingTexts
	o.awaitAudit(map[string]int{"I R": all, "O D": 2 * rollingTexts, "O S": n})
	if _, again := load.counts(); again > 0 {
		t.Errorf("%d of the %d replies came twice", again, n)
	}
	for name, smsc := range smscs {
		smsc.stop() // its record is complete then
		taken := smsc.taken()
		for what, times := range taken {
			if times != 1 {
				t.Errorf("%s got %s %d times", name, what, times)
			}
		}
		if len(taken) != rollingTexts {
			t.Errorf("%s got %d different answers, want %d", name, len(taken), rollingTexts)
		}
	}
	t.Logf("%d restarts while %d messages came in", rounds*len(fleet), all)
}

// seesNotReady asks a process that was told to stop whether it is ready; it may be gone.
func (p *process) seesNotReady() {
	p.t.Helper()
	answer, err := http.Get(p.http + "/readyz")
	if err != nil {
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable {
		p.t.Errorf("%s: /readyz after /-/drain: %s", p.name, answer.Status)
	}
}

// endWell ends the process by /-/drain or SIGTERM, and sees that it is not ready after the
// former, and ends with 0.
func (p *process) endWell(drain bool) {
	p.t.Helper()
	if drain {
		answer, err := http.Post(p.http+"/-/drain", "", nil)
		if err != nil || answer.StatusCode != http.StatusAccepted {
			p.t.Errorf("%s: /-/drain: %v, %v", p.name, answer, err)
		}
		p.seesNotReady()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.name)
		return
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(p.logged(), "stopping without what is in flight") {
		p.t.Errorf("%s ended with %d:\n%s", p.name, code, p.logged())
	}
}
