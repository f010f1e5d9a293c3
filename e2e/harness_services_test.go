//go:build services

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// program is the built binary; TestMain makes it.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "switchboard-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "switchboard")
		if out, err := exec.Command("go", "build", "-o", program, "../cmd/switchboard").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// servers are a RabbitMQ (and what else was asked for) of one test's own.
type servers struct {
	t   *testing.T
	dir string
}

func startServers(t *testing.T, names ...string) *servers {
	t.Helper()
	s := &servers{t, t.TempDir()}
	t.Cleanup(func() { s.run("down") })
	s.run(append([]string{"up", "--private"}, names...)...)
	return s
}

// run calls scripts/services for this test's own pair.
func (s *servers) run(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("../scripts/services", args...)
	cmd.Env = append(os.Environ(), "SERVICES_DIR="+s.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Errorf("scripts/services %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// url is one of the addresses `scripts/services env` exports.
func (s *servers) url(name string) string {
	s.t.Helper()
	cmd := exec.Command("bash", "-c", s.run("env")+"\nprintf %s \"$"+name+"\"")
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		s.t.Fatalf("no %s: %v", name, err)
	}
	return string(out)
}

func connect(t *testing.T, url string) *rabbitmq.Broker {
	t.Helper()
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: url, Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

// process is a running worker.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	http string // where it serves /readyz
	done chan struct{}
	mu   sync.Mutex
	log  strings.Builder
}

// start runs one worker's YAML as a process and waits until it is ready.
func start(t *testing.T, name, yaml string, env ...string) *process {
	t.Helper()
	p := launchYAML(t, name, yaml, env...)
	p.await("/readyz")
	return p
}

// launchYAML is launch for one worker's YAML.
func launchYAML(t *testing.T, name, yaml string, env ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return launch(t, name, env, "run", file)
}

func startArgs(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, name, env, args...)
	p.await("/readyz")
	return p
}

// launch starts a process and waits until it says where it serves, ready or not.
func launch(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, done: make(chan struct{})}
	p.cmd = exec.Command(program, append(args, "--http", "127.0.0.1:0")...)
	p.cmd.Env = append(os.Environ(), env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	go p.read(stderr, address)
	t.Cleanup(p.stop)
	select {
	case p.http = <-address:
	case <-p.done:
		t.Fatalf("%s ended at once:\n%s", name, p.logged())
	}
	return p
}

func (p *process) read(stderr io.Reader, address chan<- string) {
	defer close(p.done)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if _, rest, found := strings.Cut(line, `"at":"`); found {
			address <- rest[:strings.IndexByte(rest, '"')]
		}
		p.mu.Lock()
		p.log.WriteString(line + "\n")
		p.mu.Unlock()
	}
	_ = p.cmd.Wait()
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// patience is how long the tests wait for what must come.
const patience = 90 * time.Second

// await waits until a path of the process's port answers 200.
func (p *process) await(path string) {
	p.t.Helper()
	eventually(p.t, p.name+" answers "+path, func() bool {
		answer, err := http.Get(p.http + path)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends the process as an operator does, and sees to it that it ends well.
func (p *process) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			p.t.Errorf("%s ended with %d:\n%s", p.name, code, p.logged())
		}
	case <-time.After(patience):
		p.t.Errorf("%s did not stop:\n%s", p.name, p.logged())
		p.kill()
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testutil.EventuallyWithin(t, patience, what, ok)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
