package configs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/applications"
	"switchboard/applications/doors"
	"switchboard/applications/echo"
	"switchboard/applications/guess"
	"switchboard/applications/httpapi"
	"switchboard/applications/script"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/internal/testutil"
	"switchboard/operate/explain"
	"switchboard/persistence"
	"switchboard/routers"
	"switchboard/routers/rules"
	statememory "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/http"
	"switchboard/transports/httptester"
	"switchboard/transports/smpp"
	"switchboard/transports/xmpp"
)

func classes() fleet.Classes {
	return fleet.Classes{
		Routers: map[string]fleet.Class[dispatcher.Router]{
			"simple": {
				New:  func() dispatcher.Router { return routers.NewSimple() },
				Vumi: []string{"vumi.dispatchers.SimpleDispatchRouter"},
			},
			"content_keyword": {New: func() dispatcher.Router { return routers.NewContentKeyword() }},
			"rules":           {New: func() dispatcher.Router { return rules.New() }},
		},
		Transports: map[string]fleet.Class[transports.Transport]{
			"http":       {New: func() transports.Transport { return http.New() }},
			"httptester": {New: func() transports.Transport { return httptester.New() }},
			"smpp":       {New: func() transports.Transport { return smpp.New() }},
			"xmpp":       {New: func() transports.Transport { return xmpp.New() }},
		},
		Workers: map[string]fleet.Class[fleet.Standalone]{
			"persistence": {New: func() fleet.Standalone { return persistence.New() }},
		},
		Applications: map[string]fleet.Class[applications.Application]{
			"echo":     {New: func() applications.Application { return echo.New() }},
			"guess":    {New: func() applications.Application { return guess.New() }},
			"http_api": {New: func() applications.Application { return httpapi.New() }},
			"rapidsms_relay": {
				New:  func() applications.Application { return doors.NewRapidSMSRelay() },
				Vumi: []string{"vumi.application.rapidsms_relay.RapidSMSRelay"},
			},
			"script": {New: func() applications.Application { return script.New() }},
		},
	}
}

// exchange is what a person says and where it is answered.
type exchange struct {
	transport, from, text string
	app                   string // who takes the message, and hears of its answer
	answeredBy            string // the transport; the same one when empty
}

// useCases are what is said to each fleet. The environment variables of its
// ports are by transport.
var useCases = []struct {
	name  string
	ports map[string]string
	said  []exchange
}{
	{
		"many-countries",
		map[string]string{"smpp_za": "SMPP_ZA_PORT", "smpp_ke": "SMPP_KE_PORT", "smpp_ng": "SMPP_NG_PORT"},
		[]exchange{
			{transport: "smpp_za", from: "+27831234567", text: "hello", app: "survey"},
			{transport: "smpp_ke", from: "+254722000000", text: "hello", app: "survey"},
			{transport: "smpp_ng", from: "+27831234567", text: "hello", app: "survey"}, // from abroad
		},
	},
	{
		"shared-short-code",
		map[string]string{"smpp": "SMPP_PORT"},
		[]exchange{
			{transport: "smpp", from: "+27831234567", text: "JOIN the club", app: "club"},
			{transport: "smpp", from: "+27831234567", text: "joke", app: "jokes"},
			{transport: "smpp", from: "+27831234568", text: "what is this?", app: "helpdesk"},
		},
	},
	{
		"shared-transports",
		map[string]string{"smpp_za_1": "SMPP_ZA_1_PORT", "smpp_za_2": "SMPP_ZA_2_PORT", "smpp_ke": "SMPP_KE_PORT"},
		[]exchange{
			{transport: "smpp_za_1", from: "+27831234567", text: "JOIN", app: "club"},
			{transport: "smpp_ke", from: "+254722000000", text: "join", app: "club"},
			{transport: "smpp_za_2", from: "+27831234568", text: "joke", app: "jokes", answeredBy: "smpp_za_1"},
			{transport: "smpp_ke", from: "+254722000001", text: "what is this?", app: "helpdesk"},
		},
	},
}

// patience is how long anything here may take.
const patience = 30 * time.Second

// Each fleet runs, and what people say is answered where it should be.
func TestUseCases(t *testing.T) {
	for _, c := range useCases {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, filepath.Join("use-cases", c.name), "", c.ports, memory.New(memory.Settings{}))
			r.converse(c.said)
		})
	}
}

// The routing tests beside the fleets pass.
func TestRoutingTests(t *testing.T) {
	files, err := filepath.Glob("use-cases/*/*" + fleet.TestSuffix)
	if err != nil || len(files) != len(useCases)+3 { // and sms-and-xmpp, every-channel, four-teams
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		spec, err := explain.ReadSpec(file)
		if err != nil {
			t.Fatal(err)
		}
		results, err := spec.Run(t.Context(), classes())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if !r.Passed {
				t.Errorf("%s: %s: %+v", r.At, r.Name, r.Problems)
			}
		}
	}
}

// Nothing is wrong with the fleets, not even a little.
func TestExamine(t *testing.T) {
	files, err := filepath.Glob("use-cases/*/*" + fleet.TestSuffix)
	if err != nil || len(files) != len(useCases)+3 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		_, findings, err := classes().Examine(filepath.Dir(file))
		if err != nil || len(findings) != 0 {
			t.Errorf("%s: %v, %v", filepath.Dir(file), findings, err)
		}
	}
}

// running is a fleet that runs in this process.
type running struct {
	t        *testing.T
	prefix   string // of its connectors, so that several fleets can share a broker
	ports    map[string]string
	phones   map[string]*phones // by transport; made when first needed
	registry *prometheus.Registry
}

func start(t *testing.T, dir, prefix string, portVars map[string]string, b broker.Broker) *running {
	t.Helper()
	r := &running{t: t, prefix: prefix, ports: map[string]string{}, phones: map[string]*phones{}, registry: prometheus.NewRegistry()}
	for transport, variable := range portVars {
		r.ports[transport] = freePort(t)
		t.Setenv(variable, r.ports[transport])
	}
	defs, err := classes().Load(prefixed(t, dir, prefix))
	if err != nil {
		t.Fatal(err)
	}
	state := statememory.New()
	p := fleet.Process{Classes: classes(), Broker: b, State: state, Logger: slog.New(slog.DiscardHandler), Registry: r.registry}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, defs) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if prefix != "" {
			removeQueues(t, b, defs)
		}
		_, _ = b.Close(context.Background()), state.Close()
	})
	return r
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// prefixed is a copy of a fleet's directory whose connectors begin with prefix.
func prefixed(t *testing.T, dir, prefix string) string {
	t.Helper()
	defs, err := classes().Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range defs {
		for _, name := range d.Connectors() {
			names = append(names, regexp.QuoteMeta(name))
		}
	}
	connector := regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b`)
	copied := t.TempDir()
	for _, d := range defs {
		text, err := os.ReadFile(d.Path)
		if err != nil {
			t.Fatal(err)
		}
		text = connector.ReplaceAll(text, []byte(prefix+"${1}"))
		if err := os.WriteFile(filepath.Join(copied, filepath.Base(d.Path)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return copied
}

func removeQueues(t *testing.T, b broker.Broker, defs []*fleet.Definition) {
	for _, d := range defs {
		for _, name := range d.Connectors() {
			for _, flow := range []string{".inbound", ".outbound", ".event"} {
				if err := b.Delete(context.Background(), name+flow); err != nil {
					t.Errorf("deleting %s%s: %v", name, flow, err)
				}
			}
		}
	}
}

// converse says everything, waits for the answers, and checks who gave them and
// heard what became of them.
func (r *running) converse(said []exchange) {
	r.t.Helper()
	taken, heard := map[string]int{}, map[string]int{}
	for _, e := range said {
		at := e.answeredBy
		if at == "" {
			at = e.transport
		}
		answers := r.at(at)
		r.at(e.transport).say(e.from, e.text)
		answers.await(e.from)
		taken[e.app]++
		heard[e.app]++
	}
	for app, n := range taken {
		r.await(app, "inbound", n)
	}
	for app, n := range heard {
		r.await(app, "event", n)
	}
}

// await waits until an application has handled n messages of a flow.
func (r *running) await(app, flow string, n int) {
	r.t.Helper()
	testutil.EventuallyWithin(r.t, patience, fmt.Sprintf("%s handles %d of flow %s", app, n, flow), func() bool {
		got := r.handled(r.prefix+app, flow)
		if got > n {
			r.t.Fatalf("%s handled %d of flow %s, want %d", app, got, flow, n)
		}
		return got == n
	})
}

func (r *running) handled(connector, flow string) (n int) {
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "switchboard_messages_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			app := labels["worker"] == strings.TrimPrefix(connector, r.prefix)
			if app && labels["connector"] == connector && labels["flow"] == flow && labels["outcome"] == "ok" {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

// phones are those of a transport's page.
type phones struct {
	t      *testing.T
	url    string
	stream *bufio.Scanner
}

func (r *running) at(transport string) *phones {
	r.t.Helper()
	if p := r.phones[transport]; p != nil {
		return p
	}
	p := &phones{t: r.t, url: "http://127.0.0.1:" + r.ports[transport] + "/"}
	_ = dial(r.t, r.ports[transport]).Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.t.Cleanup(cancel)
	request, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, p.url+"events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := nethttp.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = response.Body.Close() })
	p.stream = bufio.NewScanner(response.Body)
	r.phones[transport] = p
	return p
}

// dial connects as soon as somebody listens.
func dial(t *testing.T, port string) (conn net.Conn) {
	t.Helper()
	testutil.EventuallyWithin(t, patience, "somebody listens on "+port, func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", "127.0.0.1:"+port)
		return err == nil
	})
	return conn
}

func (p *phones) say(from, text string) {
	p.t.Helper()
	response, err := nethttp.PostForm(p.url+"messages", url.Values{"from": {from}, "content": {text}})
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != nethttp.StatusAccepted {
		p.t.Fatalf("the page answered %s", response.Status)
	}
}

// await reads the page's stream until a message reaches a phone.
func (p *phones) await(phone string) {
	p.t.Helper()
	for p.stream.Scan() {
		data, is := strings.CutPrefix(p.stream.Text(), "data: ")
		var entry struct{ Flow, Phone string }
		if is && json.Unmarshal([]byte(data), &entry) == nil && entry.Flow == "outbound" && entry.Phone == phone {
			return
		}
	}
	p.t.Fatalf("no answer reached %s: %v", phone, p.stream.Err())
}
