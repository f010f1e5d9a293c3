//go:build services

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// installPeers puts the npm package that a folder names, and the programs made of it, into
// a directory of the test's own.
func installPeers(t *testing.T, folder string) (dir string) {
	t.Helper()
	if out, err := exec.Command("../scripts/services", "need", "npm").CombinedOutput(); err != nil {
		t.Fatalf("node and npm are needed: %v\n%s", err, out)
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm could not install what %s/package.json names, which ours is held against: %v\n%s", folder, err, out)
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
func (p *npmPeer) text(n int, get func(heard) *short) (joined string, first *short) {
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
		joined += segments[header]
	}
	return joined, first
}
