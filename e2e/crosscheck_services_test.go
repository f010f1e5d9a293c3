//go:build services

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// installPeers puts the npm package smpp and the peers made of it into a
// directory of the test's own.
func installPeers(t *testing.T) (dir string) {
	t.Helper()
	if out, err := exec.Command("../scripts/services", "need", "npm").CombinedOutput(); err != nil {
		t.Fatalf("node and npm are needed: %v\n%s", err, out)
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("crosscheck")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm could not install the package smpp, which these tests hold ours against: %v\n%s", err, out)
	}
	return dir
}

// npmPeer is a running peer of e2e/crosscheck.
type npmPeer struct {
	t    *testing.T
	in   io.WriteCloser
	said chan heard
}

// heard is what a peer says.
type heard struct {
	Listening int    `json:"listening"`
	Bound     *int   `json:"bound"`
	Bind      string `json:"bind"`
	Version   int    `json:"version"`
	Submit    *short `json:"submit"`
	Deliver   *short `json:"deliver"`
	Receipt   *int   `json:"receipt"`
	Delivered *int   `json:"delivered"`
	Answer    *int   `json:"answer"`
	ID        string `json:"id"`
	State     int    `json:"state"`
	Unbind    bool   `json:"unbind"`
	Closed    bool   `json:"closed"`
	Error     string `json:"error"`
}

// short is a short message as the package reads it.
type short struct {
	From, To, Text, Octets, UDH, Receipted string
	Coding, ESM, State                     int
}

func startPeer(t *testing.T, dir string, args ...string) *npmPeer {
	t.Helper()
	cmd := exec.Command("node", args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &npmPeer{t: t, in: in, said: make(chan heard, 100)}
	go func() {
		defer close(p.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var h heard
			if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
				h.Error = err.Error() + ": " + lines.Text()
			}
			p.said <- h
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		for range p.said {
		}
		_ = cmd.Wait()
	})
	return p
}

func (p *npmPeer) tell(command any) {
	p.t.Helper()
	if err := json.NewEncoder(p.in).Encode(command); err != nil {
		p.t.Fatal(err)
	}
}

// await is the next thing a peer says that is what is waited for.
func (p *npmPeer) await(what string, is func(heard) bool) heard {
	p.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case h, more := <-p.said:
			if !more || h.Error != "" {
				p.t.Fatalf("waiting for %s: the peer ended, or said %q", what, h.Error)
			}
			if is(h) {
				return h
			}
		case <-limit:
			p.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// text puts n segments together by their headers.
func (p *npmPeer) text(n int, get func(heard) *short) (whole string, first *short) {
	p.t.Helper()
	segments := map[string]string{}
	for range n {
		h := p.await("a segment", func(h heard) bool { return get(h) != nil && get(h).ESM&0x3C == 0 })
		s := get(h)
		if first == nil {
			first = s
		}
		segments[s.UDH] = s.Text
		if n > 1 && s.ESM&0x40 == 0 {
			p.t.Errorf("a segment without a header: %+v", s)
		}
	}
	headers := make([]string, 0, n)
	for header := range segments {
		headers = append(headers, header)
	}
	slices.Sort(headers) // they differ in the number, which is last
	for _, header := range headers {
		whole += segments[header]
	}
	return whole, first
}

func submitted(h heard) *short { return h.Submit }
func delivered(h heard) *short { return h.Deliver }

// written are texts, the data_coding that carries them, and in how many
// segments.
var written = []struct {
	name, text string
	coding     int
	segments   int
}{
	{"the GSM alphabet", "Hi @£$¥èéùìòÇØøÅå Δ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ !\"#¤%&'()*+,-./ ¡ÄÖÑÜ§¿äöñüà", 0, 1},
	{"its extension", "price {5} €, [a] ~b~ \\c\\ d|e^f", 0, 1},
	{"UCS2", "Привет, мир! 你好 سلام", 8, 1},
	{"surrogates", "a 🎲 b 😀 c", 8, 1},
	{"160 septets", strings.Repeat("0123456789abcdef", 10), 0, 1},
	{"161 septets", strings.Repeat("0123456789abcdef", 10) + "!", 0, 2},
	{"long, with an extension at the seam", strings.Repeat("x", 152) + "€" + strings.Repeat("y", 100), 0, 2},
	{"long UCS2 with a surrogate at the seam", strings.Repeat("ж", 66) + "🎲" + strings.Repeat("щ", 20), 8, 2},
}

// An npm client submits to our SMPP server, whose messages leave by our SMPP
// transport to an npm SMSC; receipts and messages from people go the other way.
func TestAgainstNPM(t *testing.T) {
	dir := installPeers(t)
	esme, smsc := npmFleet(t, dir)
	for _, w := range written {
		t.Run("to people: "+w.name, func(t *testing.T) {
			esme.t, smsc.t = t, t
			for i, part := range parts(w.text, w.segments, w.coding) {
				fields := map[string]any{"source_addr": "9292", "destination_addr": "31612345678", "dest_addr_ton": 1, "dest_addr_npi": 1, "registered_delivery": 1, "data_coding": w.coding, "short_message": part}
				if w.segments > 1 {
					fields["udh"] = fmt.Sprintf("050003%02x%02x%02x", len(w.name), w.segments, i+1)
				}
				esme.tell(map[string]any{"submit_sm": fields})
				if a := esme.await("submit_sm_resp", func(h heard) bool { return h.Answer != nil }); *a.Answer != 0 || a.ID == "" {
					t.Errorf("submit_sm_resp: %d, id %q", *a.Answer, a.ID)
				}
			}
			text, first := smsc.text(w.segments, submitted)
			if text != w.text || first.Coding != w.coding {
				t.Errorf("the SMSC read %q in data_coding %d\n want %q in %d", text, first.Coding, w.text, w.coding)
			}
			if first.From != "9292" || first.To != "31612345678" {
				t.Errorf("from %s to %s", first.From, first.To)
			}
			for range w.segments {
				smsc.await("receipt taken", func(h heard) bool { return h.Receipt != nil && *h.Receipt == 0 })
			}
			r := esme.await("receipt", func(h heard) bool { return h.Deliver != nil && h.Deliver.ESM&0x3C == 4 })
			if r.Deliver.State != 2 || !strings.Contains(r.Deliver.Text, "stat:DELIVRD") || r.Deliver.Receipted == "" {
				t.Errorf("the client was given the receipt %+v", r.Deliver)
			}
		})
	}
	for _, w := range written {
		t.Run("from people: "+w.name, func(t *testing.T) {
			esme.t, smsc.t = t, t
			for i, part := range parts(w.text, w.segments, w.coding) {
				fields := map[string]any{"source_addr": "31612345678", "destination_addr": "9292", "source_addr_ton": 1, "source_addr_npi": 1, "data_coding": w.coding, "short_message": part}
				if w.segments > 1 {
					fields["udh"] = fmt.Sprintf("050003%02x%02x%02x", len(w.name), w.segments, i+1)
				}
				smsc.tell(map[string]any{"deliver": fields})
				if a := smsc.await("deliver_sm_resp", func(h heard) bool { return h.Delivered != nil }); *a.Delivered != 0 {
					t.Errorf("deliver_sm_resp: %d", *a.Delivered)
				}
			}
			text, first := esme.text(w.segments, delivered)
			if text != w.text || first.Coding != w.coding || first.To != "9292" {
				t.Errorf("the client read %q to %s in data_coding %d\n want %q in %d", text, first.To, first.Coding, w.text, w.coding)
			}
		})
	}
}

// parts cuts a text for the npm package, which cuts nothing itself.
func parts(text string, n, coding int) []string {
	if n == 1 {
		return []string{text}
	}
	runes := []rune(text)
	most := 152 // septets; an extension would take the last two
	if coding == 8 {
		most = 66
	}
	return []string{string(runes[:most]), string(runes[most:])}
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
	dir := installPeers(t)
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
