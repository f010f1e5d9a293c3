//go:build services

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// operator runs the program as an operator does.
type operator struct {
	t   *testing.T
	env []string
}

func (o *operator) run(args ...string) (out string, err error) {
	o.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), o.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("switchboard %v: %w\n%s", args, err, stderr.String())
	}
	return stdout.String(), err
}

func (o *operator) must(args ...string) string {
	o.t.Helper()
	out, err := o.run(args...)
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// awaitTrace waits until the record has what a person wrote, and its trace each of the hops.
func (o *operator) awaitTrace(text string, hops ...string) {
	o.t.Helper()
	var asked struct{ ID string }
	eventually(o.t, "the record has "+text, func() bool {
		return json.Unmarshal([]byte(o.must("messages", "--json", "--direction", "I", "--text", text)), &asked) == nil
	})
	var trace string
	defer func() { o.t.Log("\n" + trace) }()
	eventually(o.t, fmt.Sprintf("the trace of %q has each of %q", text, hops), func() bool {
		trace = o.must("trace", asked.ID)
		return !slices.ContainsFunc(hops, func(hop string) bool { return !strings.Contains(trace, hop) })
	})
}

// audit is what `switchboard audit --json` counts.
type audit struct {
	Counts []struct {
		Direction string
		State     string
		N         int
	}
	Stuck  []struct{ ID, State string }
	Orphan int
}

// audit adds up the record: messages by direction and state, such as "O S".
func (o *operator) audit() (counts map[string]int, clean bool) {
	o.t.Helper()
	out, err := o.run("audit", "--json", "--stuck", "1ms")
	var a audit
	if bad := json.Unmarshal([]byte(out), &a); bad != nil {
		return nil, false // the database is away
	}
	counts = map[string]int{}
	for _, c := range a.Counts {
		counts[c.Direction+" "+c.State] += c.N
	}
	return counts, err == nil
}

// awaitAudit waits until the record is clean, and has n messages in each of
// these states and none in others.
func (o *operator) awaitAudit(want map[string]int) {
	o.t.Helper()
	var counts map[string]int
	var clean bool
	defer func() {
		if o.t.Failed() {
			out, err := o.run("audit", "--stuck", "1ms")
			o.t.Logf("the last audit: %v, clean %t; the one now: %v\n%s", counts, clean, err, out)
		}
	}()
	eventually(o.t, fmt.Sprintf("the audit is clean with %v", want), func() bool {
		counts, clean = o.audit()
		return clean && fmt.Sprint(counts) == fmt.Sprint(want)
	})
}

// auditor is an operator who audits a fleet's files.
type auditor struct {
	*operator
	dir string
}

// code runs an audit and returns what it says, and its exit code.
func (a *auditor) code(args ...string) (said string, code int) {
	a.t.Helper()
	out, err := a.run(append(append([]string{"audit"}, args...), a.dir)...)
	var ended *exec.ExitError
	switch {
	case err == nil:
		return out, 0
	case errors.As(err, &ended):
		return out + err.Error(), ended.ExitCode()
	}
	return err.Error(), -1
}

// often audits n times in each way, and returns the first that is not clean.
func (a *auditor) often(n int, ways ...[]string) (unclean string) {
	for range n {
		for _, args := range ways {
			if said, code := a.code(args...); code != 0 {
				return fmt.Sprintf("audit %v: exit code %d\n%s", args, code, said)
			}
		}
	}
	return ""
}

func (a *auditor) wants(code int, text string, args ...string) {
	a.t.Helper()
	said, got := a.code(args...)
	if got != code || !strings.Contains(said, text) {
		a.t.Errorf("audit %v: exit code %d, want %d and %q\n%s", args, got, code, text, said)
	}
}

// fleetDir writes a fleet's files for the auditor to read.
func fleetDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, yaml := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// manage switches RabbitMQ's management on and returns its address.
func (s *servers) manage() string {
	s.t.Helper()
	plugins, port := filepath.Join(s.dir, "rabbitmq", "enabled_plugins"), freePort(s.t)
	if err := os.WriteFile(plugins, []byte("[rabbitmq_management].\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.run("rabbitmqctl", "eval", fmt.Sprintf(
		`ok = application:set_env(rabbitmq_management, tcp_config, [{port,%d},{ip,"127.0.0.1"}], [{persistent,true}]), {ok,_,_} = rabbit_plugins:ensure(%q).`,
		port, plugins))
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	eventually(s.t, "RabbitMQ's management answers", func() bool {
		answer, err := http.Get(address)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return true
	})
	return address
}
