package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchboard/internal/reference"
	"switchboard/transports/http"
	"switchboard/transports/httprpc"
)

const channelsPage = "../../docs/channels.md"

// channel is a row of docs/channels.md.
type channel struct {
	name, set, about                   string
	receives, sends, reports, sessions bool
	proof                              string // how who speaks is proven
}

// spoken are the classes that speak one protocol. Those of http and http_rpc are as
// their descriptions say.
var spoken = map[string]channel{
	"devnull":          {receives: true, sends: true, reports: true, proof: "nobody speaks"},
	"gsm_modem":        {receives: true, sends: true, reports: true, proof: "the SIM card"},
	"httptester":       {receives: true, sends: true, sessions: true, proof: "none: for trials"},
	"smpp":             {receives: true, sends: true, reports: true, sessions: true, proof: "bind password, TLS"},
	"smpp_receiver":    {receives: true, reports: true, sessions: true, proof: "bind password, TLS"},
	"smpp_transmitter": {sends: true, sessions: true, proof: "bind password, TLS"},
	"stdio":            {receives: true, sends: true, reports: true, sessions: true, proof: "the other program's"},
	"telnet":           {receives: true, sends: true, sessions: true, proof: "none"},
	"telnet_addressed": {receives: true, sends: true, sessions: true, proof: "none"},
	"xmpp":             {receives: true, sends: true, reports: true, proof: "SASL, TLS"},
}

// docs/channels.md is what the classes and the descriptions say.
func TestChannels(t *testing.T) {
	var rows []channel
	own, rpc := map[string]string{}, map[string]string{} // classes by their description
	for _, c := range classes().List() {
		if c.Kind != "transport" {
			continue
		}
		row, known := spoken[c.Name]
		switch tr := classes().Transports[c.Name].New().(type) {
		case *http.Transport:
			own[tr.Provider] = c.Name
			continue
		case *httprpc.Transport:
			if tr.ReplyExpected && c.Name != "http_rpc" {
				rpc[tr.Provider] = c.Name
			}
			continue
		}
		switch {
		case slices.Contains(http.Presets(), c.Name): // Vumi's options of a preset
			own[c.Name] = c.Name
		case !known:
			t.Errorf("what %s supports is not said: add it to spoken", c.Name)
		default:
			row.name, row.set, row.about = "["+c.Name+"](reference/transports.md#"+c.Name+")", "`transport_class: "+c.Name+"`", c.About
			rows = append(rows, row)
		}
	}
	rows = slices.Concat(rows, httpRows(t, own), rpcRows(t, rpc))
	var out strings.Builder
	out.WriteString(reference.Generated + `# Channels

What each channel can do. "Proof" is how a request, or whoever speaks, is held to be who it says;
[HTTP providers](channels-http.md) and [USSD gateways](http-rpc.md) say how to write one of your own.
Each of Vumi's transports that has no row has an error at ` + "`switchboard check`" + ` that says what to use instead.

| channel | to write | receives | sends | delivery reports | sessions | proof | what it is |
|---|---|---|---|---|---|---|---|
`)
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.name, r.set, mark(r.receives), mark(r.sends), mark(r.reports), mark(r.sessions), r.proof, r.about)
	}
	if *update {
		if err := os.WriteFile(channelsPage, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(channelsPage)
	if diff := cmp.Diff(out.String(), string(got)); err != nil || diff != "" {
		t.Errorf("docs/channels.md is not what the classes say; make generate (-source +page): %v\n%s", err, diff)
	}
}

func mark(has bool) string {
	if has {
		return "yes"
	}
	return ""
}

func httpRows(t *testing.T, classes map[string]string) (rows []channel) {
	for _, name := range http.Presets() {
		d, _, err := http.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		row := channel{
			name: "[" + name + "](channels-http.md)", set: "`transport_class: http`, `provider: " + name + "`", about: d.About, sends: d.Send != nil,
			proof: "password or addresses",
		}
		if class := classes[name]; class != "" {
			row.set = "`transport_class: " + class + "`"
		}
		for _, r := range d.Receive {
			row.receives, row.reports = row.receives || len(r.Messages) > 0, row.reports || len(r.Receipts) > 0
			if len(r.Check) > 0 {
				row.proof = "token or signature"
			}
		}
		for _, p := range d.Poll {
			row.receives, row.reports = row.receives || len(p.Messages) > 0, row.reports || len(p.Receipts) > 0
		}
		rows = append(rows, row)
	}
	return rows
}

func rpcRows(t *testing.T, classes map[string]string) (rows []channel) {
	for _, name := range httprpc.Presets() {
		d, _, err := httprpc.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		row := channel{
			name: "[" + name + "](http-rpc.md), the request waits", set: "`transport_class: http_rpc`, `provider: " + name + "`", about: d.About,
			receives: true, sends: true, proof: "password",
		}
		if class := classes[name]; class != "" {
			row.set = "`transport_class: " + class + "`"
		}
		if len(d.Secrets) > 0 {
			row.proof = "token"
		}
		for _, r := range d.Receive {
			row.sessions = row.sessions || slices.ContainsFunc(r.Cases, func(c httprpc.Case) bool { return c.Session != "" || c.Event != "" })
		}
		rows = append(rows, row)
	}
	return rows
}
