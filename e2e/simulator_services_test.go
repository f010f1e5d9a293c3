//go:build services

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"switchboard/smpp/simulator"
)

// smscProcess is a running `switchboard simulate smsc`.
type smscProcess struct {
	t        *testing.T
	name     string
	port     int
	counters string // URL
	record   string // file
	cmd      *exec.Cmd
}

func startSimulator(t *testing.T, name, yaml string) *smscProcess {
	t.Helper()
	dir := t.TempDir()
	s := &smscProcess{t: t, name: name, port: freePort(t), record: filepath.Join(dir, "record.jsonl")}
	listen, site := fmt.Sprintf("127.0.0.1:%d", s.port), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s.counters = "http://" + site + "/counters"
	file := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, yaml, listen, site, s.record), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(program, "simulate", "smsc", file, "--json")
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	eventually(t, name+" counts", func() bool { _, err := s.count(); return err == nil })
	return s
}

func (s *smscProcess) stop() {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("simulator %s: %v", s.name, err)
	}
}

func (s *smscProcess) count() (c simulator.Counters, err error) {
	answer, err := http.Get(s.counters)
	if err != nil {
		return c, err
	}
	defer func() { _ = answer.Body.Close() }()
	return c, json.NewDecoder(answer.Body).Decode(&c)
}

// taken are the submits in a simulator's record that it took: how often each
// part of a message, by the number it went to and its octets.
func (s *smscProcess) taken() map[string]int {
	s.t.Helper()
	file, err := os.Open(s.record)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	taken := map[string]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Command, Status, Octets string
			MessageID               string `json:"message_id"`
			ESMClass                uint8  `json:"esm_class"`
			To                      []string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			s.t.Fatalf("%s: %v", s.record, err)
		}
		if line.Command != "submit_sm" || line.MessageID == "" {
			continue
		}
		octets := line.Octets
		if line.ESMClass&0x40 != 0 { // the header's reference may differ each time
			octets = octets[12:]
		}
		taken[fmt.Sprint(line.To, octets)]++
	}
	if err := lines.Err(); err != nil {
		s.t.Fatal(err)
	}
	return taken
}

// recorded says whether a submit_sm of this text is in a simulator's record.
func (s *smscProcess) recorded(text string) bool {
	s.t.Helper()
	all, err := os.ReadFile(s.record)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range bytes.Lines(all) {
		var read struct{ Text string }
		if json.Unmarshal(line, &read) == nil && read.Text == text {
			return true
		}
	}
	return false
}
