package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/faultproxy"
	"switchboard/operate"
)

// The roles of processes, and what they are linked to.
const (
	roleTransport   = "transport"
	roleDispatcher  = "dispatcher"
	roleApplication = "application"
	rolePersistence = "persistence"

	linkRabbit   = "RabbitMQ"
	linkPostgres = "PostgreSQL"
	linkSMSC     = "SMSC"
)

// The connectors of the fleet.
const (
	transportA  = "chaos_a"
	transportB  = "chaos_b"
	application = "chaos_app"
	recorder    = "chaos_keep"
)

// member is a process of the fleet.
type member struct {
	name, role, yaml string
	links            []string
}

var (
	servers = []string{linkRabbit, linkPostgres}
	// members are the fleet: two of each.
	members = []member{
		{transportA, roleTransport, smppYAML(transportA), append(slices.Clone(servers), linkSMSC)},
		{transportB, roleTransport, smppYAML(transportB), append(slices.Clone(servers), linkSMSC)},
		{"chaos_join_1", roleDispatcher, joinYAML, servers},
		{"chaos_join_2", roleDispatcher, joinYAML, servers},
		{"chaos_app_1", roleApplication, appYAML, servers},
		{"chaos_app_2", roleApplication, appYAML, servers},
		{"chaos_keep_1", rolePersistence, keepYAML, servers},
		{"chaos_keep_2", rolePersistence, keepYAML, servers},
	}
	// poisoned are the queues that get what is no message.
	poisoned = []string{transportA + ".inbound", transportB + ".inbound", application + ".inbound", application + ".outbound", transportA + ".outbound", transportB + ".event"}
)

// Few messages are in flight and retries come soon, so that a run ends soon and its bound is tight.
const (
	window     = 10 // of submit_sm, and of the SMSC's deliver_sm
	commonYAML = "queue_type: %QUEUE_TYPE%\namqp_prefetch_count: 20\nretry_initial_delay: 1s\nretry_delay_factor: 2\nretry_max_delay: 4s\nmax_attempts: 60\n"
	joinYAML   = "router_class: simple\nworker_name: chaos_join\ntransport_names: [chaos_a, chaos_b]\nexposed_names: [chaos_app]\n" +
		"route_mappings: {chaos_a: chaos_app, chaos_b: chaos_app}\n" + commonYAML
	appYAML  = "application_class: echo\ntransport_name: chaos_app\n" + commonYAML
	keepYAML = "worker_class: persistence\nworker_name: chaos_keep\ntransport_names: [chaos_a, chaos_b]\nexposed_names: [chaos_app]\n" + commonYAML
)

func smppYAML(name string) string {
	return fmt.Sprintf("transport_class: smpp\ntransport_name: %s\nhost: 127.0.0.1\nport: %%SMSC_PORT%%\nsystem_id: %[1]s\n"+
		"window: %d\nunknown_policy: resend\nsubmit_timeout: 10s\nsmpp_enquire_link_interval: 5s\nmax_reconnect_delay: 2s\n%s", name, window, commonYAML)
}

// process is a member that runs.
type process struct {
	member
	file    string
	text    string // of the file
	env     []string
	log     string // file
	program string
	links   map[string]*faultproxy.Proxy

	busy    sync.Mutex // held while a fault lasts
	reloads int        // good ones so far

	mu    sync.Mutex
	cmd   *exec.Cmd
	at    string // where it serves /metrics
	ended chan struct{}
	ends  bool // it is told to
	alone int  // how often it ended without being told to
}

// newProcess puts proxies between a member and the servers, and writes its file. Beside an error
// it returns the process too: its links are to be closed.
func (r *run) newProcess(m member) (p *process, err error) {
	p = &process{member: m, program: r.Program, links: map[string]*faultproxy.Proxy{}}
	p.file, p.log = filepath.Join(r.Dir, "fleet", m.name+".yaml"), filepath.Join(r.Dir, m.name+".log")
	p.text = strings.ReplaceAll(m.yaml, "%QUEUE_TYPE%", r.QueueType)
	p.env = os.Environ()
	for _, link := range m.links {
		target := r.AMQPURL
		switch link {
		case linkPostgres:
			target = r.DatabaseURL
		case linkSMSC:
			target = "smpp://" + r.people.smscs[m.name].Addr()
		}
		through, proxy, err := proxied(target)
		if err != nil {
			return p, fmt.Errorf("a proxy before %s: %w", link, err)
		}
		p.links[link] = proxy
		switch link {
		case linkSMSC:
			p.text = strings.ReplaceAll(p.text, "%SMSC_PORT%", through.Port())
		case linkRabbit:
			p.env = append(p.env, "AMQP_URL="+through.String())
		case linkPostgres:
			p.env = append(p.env, "DATABASE_URL="+through.String())
		}
	}
	return p, os.WriteFile(p.file, []byte(p.text), 0o600)
}

// standardPorts are those of URLs that name none, for the schemes that work through a proxy. TLS
// does not: the certificate is not for the proxy's address.
var standardPorts = map[string]string{"amqp": "5672", "postgres": "5432", "postgresql": "5432", "smpp": "2775"}

// proxied is a server's URL through a proxy.
func proxied(address string) (*url.URL, *faultproxy.Proxy, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, operate.Misused(errors.New("the server's URL cannot be read")) // it may hold a password
	}
	port, known := standardPorts[u.Scheme]
	if !known {
		return nil, nil, operate.Misused(fmt.Errorf("a server of %q cannot be reached through a proxy; name one of amqp:// and postgres://", u.Scheme+":"))
	}
	target := u.Host
	if u.Port() == "" {
		target += ":" + port
	}
	proxy, err := faultproxy.New(target, nil)
	if err != nil {
		return nil, nil, err
	}
	u.Host = proxy.Addr
	return u, proxy, nil
}

// start starts the process, and returns when it serves its port.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.program, "run", p.file, "--http", "127.0.0.1:0", "--watch=false")
	cmd.Env = p.env
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return errors.Join(err, log.Close())
	}
	at, ended := make(chan string, 1), make(chan struct{})
	p.mu.Lock()
	p.cmd, p.ended, p.ends = cmd, ended, false
	p.mu.Unlock()
	go p.read(cmd, out, log, at, ended)
	select {
	case address := <-at:
		p.mu.Lock()
		p.at = address
		p.mu.Unlock()
		return nil
	case <-ended:
		return fmt.Errorf("%s ended at once; its log is %s", p.name, p.log)
	}
}

// maxLogLine bounds what is looked at of a line of a process's log.
const maxLogLine = 1 << 20

// read keeps the log, and starts a process again that ended without being told to.
func (p *process) read(cmd *exec.Cmd, out io.Reader, log io.WriteCloser, at chan<- string, ended chan<- struct{}) {
	lines := bufio.NewScanner(io.TeeReader(out, log))
	lines.Buffer(nil, maxLogLine)
	for lines.Scan() {
		if _, rest, found := strings.Cut(lines.Text(), `"at":"`); found {
			address, _, _ := strings.Cut(rest, `"`)
			select {
			case at <- address:
			default:
			}
		}
	}
	_, _ = io.Copy(log, out) // behind a line that is too long
	_ = cmd.Wait()
	_ = log.Close()
	p.mu.Lock()
	alone := !p.ends
	if alone {
		p.alone++
	}
	p.mu.Unlock()
	close(ended)
	if alone {
		_ = p.start()
	}
}

// end sends a signal that ends the process, and waits until it has.
func (p *process) end(signal os.Signal, within time.Duration) error {
	p.mu.Lock()
	p.ends = true
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(signal)
	select {
	case <-ended:
		return nil
	case <-time.After(within):
		_ = cmd.Process.Kill()
		<-ended
		return fmt.Errorf("%s did not end within %v of a signal", p.name, within)
	}
}

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// says asks the process's port until its answer holds text.
func (p *process) says(ctx context.Context, path, text string) error {
	return p.await(ctx, path, fmt.Sprintf("%q", text), func(answer string) bool { return strings.Contains(answer, text) })
}

// await asks the process's port until its answer is as wanted.
func (p *process) await(ctx context.Context, path, wanted string, is func(answer string) bool) error {
	client := http.Client{Timeout: answerTimeout}
	for {
		p.mu.Lock()
		at := p.at
		p.mu.Unlock()
		if answer, err := client.Get(at + path); err == nil {
			body, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK && is(string(body)) {
				return nil
			}
		}
		if !backoff.Sleep(ctx, pollEvery) {
			return fmt.Errorf("%s%s did not say %s", p.name, path, wanted)
		}
	}
}

// lastReload is the metric of when a configuration was last taken into use.
var lastReload = regexp.MustCompile(`(?m)^switchboard_config_last_reload_success_timestamp_seconds (\S+)$`)

// reload writes the process's file and has it read, and waits until it is in use: not until the
// last reload was a success, which it may have been before.
func (p *process) reload(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	before, err := p.rewrite(ctx, text)
	if err != nil {
		return err
	}
	return p.await(ctx, "/metrics", "that it was reloaded since "+before, func(answer string) bool {
		at := lastReload.FindStringSubmatch(answer)
		return at != nil && at[1] != before
	})
}

// refuse writes a file with an error, and waits until the process has refused it.
func (p *process) refuse(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	if _, err := p.rewrite(ctx, text); err != nil {
		return err
	}
	return p.says(ctx, "/metrics", "switchboard_config_last_reload_successful 0")
}

// rewrite writes the process's file and has it read. It returns when one was last taken into use.
func (p *process) rewrite(ctx context.Context, text string) (before string, err error) {
	err = p.await(ctx, "/metrics", "when it was last reloaded", func(answer string) bool {
		at := lastReload.FindStringSubmatch(answer)
		if at != nil {
			before = at[1]
		}
		return at != nil
	})
	if err == nil {
		err = os.WriteFile(p.file, []byte(text), 0o600)
	}
	if err == nil {
		p.signal(syscall.SIGHUP)
	}
	return before, err
}
