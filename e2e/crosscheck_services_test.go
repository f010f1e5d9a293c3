//go:build services

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func submitted(h heard) *short { return h.Submit }
func delivered(h heard) *short { return h.Deliver }

// sample is a text, the data_coding that carries it, and in how many segments.
type sample struct {
	name, text string
	coding     int
	segments   int
}

var written = []sample{
	{"the GSM alphabet", "Hi @£$¥èéùìòÇØøÅå Δ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ !\"#¤%&'()*+,-./ ¡ÄÖÑÜ§¿äöñüà", 0, 1},
	{"its extension", "price {5} €, [a] ~b~ \\c\\ d|e^f", 0, 1},
	{"UCS2", "Привет, мир! 你好 سلام", 8, 1},
	{"surrogates", "a 🎲 b 😀 c", 8, 1},
	{"160 septets", strings.Repeat("0123456789abcdef", 10), 0, 1},
	{"161 septets", strings.Repeat("0123456789abcdef", 10) + "!", 0, 2},
	{"long, with an extension at the seam", strings.Repeat("x", 152) + "€" + strings.Repeat("y", 100), 0, 2},
	{"long UCS2 with a surrogate at the seam", strings.Repeat("ж", 66) + "🎲" + strings.Repeat("щ", 20), 8, 2},
}

// exchange is what is between the npm client and the npm SMSC.
type exchange struct {
	*testing.T
	esme, smsc *npmPeer
}

// An npm client submits to our SMPP server, whose messages leave by our SMPP
// transport to an npm SMSC; receipts and messages from people go the other way.
func TestAgainstNPM(t *testing.T) {
	t.Parallel()
	esme, smsc := npmFleet(t, installPeers(t, "crosscheck"))
	for _, w := range written {
		t.Run("to people: "+w.name, func(t *testing.T) {
			esme.t, smsc.t = t, t
			exchange{t, esme, smsc}.toPeople(w)
		})
	}
	for _, w := range written {
		t.Run("from people: "+w.name, func(t *testing.T) {
			esme.t, smsc.t = t, t
			exchange{t, esme, smsc}.fromPeople(w)
		})
	}
}

func (x exchange) toPeople(w sample) {
	for _, fields := range w.parts() {
		fields["source_addr"], fields["destination_addr"] = "9292", "31612345678"
		fields["dest_addr_ton"], fields["dest_addr_npi"], fields["registered_delivery"] = 1, 1, 1
		x.esme.tell(map[string]any{"submit_sm": fields})
		if a := x.esme.await("submit_sm_resp", func(h heard) bool { return h.Answer != nil }); *a.Answer != 0 || a.ID == "" {
			x.Errorf("submit_sm_resp: %d, id %q", *a.Answer, a.ID)
		}
	}
	text, first := x.smsc.text(w.segments, submitted)
	if text != w.text || first.Coding != w.coding {
		x.Errorf("the SMSC read %q in data_coding %d\n want %q in %d", text, first.Coding, w.text, w.coding)
	}
	if first.From != "9292" || first.To != "31612345678" {
		x.Errorf("from %s to %s", first.From, first.To)
	}
	for range w.segments {
		x.smsc.await("receipt taken", func(h heard) bool { return h.Receipt != nil && *h.Receipt == 0 })
	}
	r := x.esme.await("receipt", func(h heard) bool { return h.Deliver != nil && h.Deliver.ESM&0x3C == 4 })
	if r.Deliver.State != 2 || !strings.Contains(r.Deliver.Text, "stat:DELIVRD") || r.Deliver.Receipted == "" {
		x.Errorf("the client was given the receipt %+v", r.Deliver)
	}
}

func (x exchange) fromPeople(w sample) {
	for _, fields := range w.parts() {
		fields["source_addr"], fields["destination_addr"] = "31612345678", "9292"
		fields["source_addr_ton"], fields["source_addr_npi"] = 1, 1
		x.smsc.tell(map[string]any{"deliver": fields})
		if a := x.smsc.await("deliver_sm_resp", func(h heard) bool { return h.Delivered != nil }); *a.Delivered != 0 {
			x.Errorf("deliver_sm_resp: %d", *a.Delivered)
		}
	}
	text, first := x.esme.text(w.segments, delivered)
	if text != w.text || first.Coding != w.coding || first.To != "9292" {
		x.Errorf("the client read %q to %s in data_coding %d\n want %q in %d", text, first.To, first.Coding, w.text, w.coding)
	}
}

// parts are the fields of the segments, cut by hand: the npm package cuts
// nothing itself.
func (w sample) parts() (list []map[string]any) {
	if w.segments == 1 {
		return []map[string]any{{"short_message": w.text, "data_coding": w.coding}}
	}
	runes := []rune(w.text)
	most := 152 // septets; an extension would take the last two
	if w.coding == 8 {
		most = 66
	}
	for i, text := range []string{string(runes[:most]), string(runes[most:])} {
		list = append(list, map[string]any{
			"short_message": text, "data_coding": w.coding, "udh": fmt.Sprintf("050003%02x%02x%02x", len(w.name), w.segments, i+1),
		})
	}
	return list
}

// npmFleet is a fleet between an npm client and an npm SMSC.
func npmFleet(t *testing.T, dir string) (esme, smsc *npmPeer) {
	t.Helper()
	smsc = startPeer(t, dir, "smsc.js")
	port := smsc.await("its port", func(h heard) bool { return h.Listening > 0 }).Listening
	files, own := t.TempDir(), freePort(t)
	for name, yaml := range map[string]string{
		"smpp_nl": fmt.Sprintf("transport_class: smpp\ntransport_name: smpp_nl\nhost: 127.0.0.1\nport: %d\nsystem_id: switch\npassword: secret\n", port),
		"clients": fmt.Sprintf("application_class: smpp_server\ntransport_name: clients\nsmpp_port: %d\ninterface: 127.0.0.1\ncustomers:\n  acme: {password: secret77, addresses: ['9292'], send_via: smpp_nl}\n", own),
		"join":    "router_class: simple\ntransport_names: [smpp_nl]\nexposed_names: [clients]\nroute_mappings: {smpp_nl: clients}\n",
	} {
		if err := os.WriteFile(filepath.Join(files, name+".yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startArgs(t, "fleet", []string{"AMQP_URL=memory:", "DATABASE_URL=memory:"}, "run", files)
	bind := smsc.await("a bind", func(h heard) bool { return h.Bind != "" })
	if bind.Bind != "switch" || bind.Version != 0x34 {
		t.Errorf("the transport bound as %q with interface_version %#x", bind.Bind, bind.Version)
	}
	esme = startPeer(t, dir, "esme.js", "127.0.0.1", fmt.Sprint(own), "acme", "secret77")
	if h := esme.await("bound", func(h heard) bool { return h.Bound != nil }); *h.Bound != 0 {
		t.Fatalf("the client's bind was refused: %d", *h.Bound)
	}
	return esme, smsc
}

// An npm client at the simulator.
func TestSimulatorAgainstNPM(t *testing.T) {
	t.Parallel()
	dir := installPeers(t, "crosscheck")
	s := startSimulator(t, "friendly", "listen: %s\nhttp: %s\nrecord: %s\n")
	esme := startPeer(t, dir, "esme.js", "127.0.0.1", fmt.Sprint(s.port), "anybody", "secret")
	esme.await("bound", func(h heard) bool { return h.Bound != nil && *h.Bound == 0 })
	for _, w := range written {
		if w.segments > 1 {
			continue
		}
		esme.tell(map[string]any{"submit_sm": map[string]any{
			"source_addr": "9292", "destination_addr": "31612345678", "registered_delivery": 1, "data_coding": w.coding, "short_message": w.text,
		}})
		esme.await("an answer", func(h heard) bool { return h.Answer != nil && *h.Answer == 0 })
		r := esme.await("a receipt", func(h heard) bool { return h.Deliver != nil })
		if r.Deliver.State != 2 {
			t.Errorf("%s: receipt %+v", w.name, r.Deliver)
		}
	}
	s.stop()
	for _, w := range written {
		if w.segments == 1 && !s.recorded(w.text) {
			t.Errorf("%s: the simulator did not read %q", w.name, w.text)
		}
	}
}
