package fleet

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"switchboard/message"
	"switchboard/worker"
)

// Status is what a process says of itself on /status.
type Status struct {
	Version  string `json:"version"`
	Stopping bool   `json:"stopping,omitempty"`
	// NotReady is why /readyz answers 503; empty when it does not.
	NotReady []string     `json:"not_ready,omitempty"`
	Broker   BrokerStatus `json:"broker"`
	// Lossy are the queues of which RabbitMQ drops bodies by a policy, and why.
	Lossy map[string]string `json:"lossy_queues,omitempty"`
	// Paused are the queues of the process's workers that operators have paused.
	Paused  map[string]worker.Pause `json:"paused_queues,omitempty"`
	State   StateStatus             `json:"state"`
	Config  ConfigStatus            `json:"configuration"`
	Workers []WorkerStatus          `json:"workers"`
}

// BrokerStatus is how the connection to the broker is.
type BrokerStatus struct {
	Name       string   `json:"name,omitempty"`
	Connected  bool     `json:"connected"`
	Error      string   `json:"error,omitempty"`
	Blocked    string   `json:"blocked,omitempty"` // why it accepts no messages now
	Reconnects int      `json:"reconnects"`
	Idle       []string `json:"not_consumed,omitempty"` // queues that should be consumed and are not
	Unroutable string   `json:"unroutable,omitempty"`   // where publications are returned from
}

// StateStatus is where workers remember things.
type StateStatus struct {
	Name    string `json:"name,omitempty"`
	Durable bool   `json:"durable"`
	Warning string `json:"warning,omitempty"`
}

// ConfigStatus is which configuration is in use.
type ConfigStatus struct {
	Loaded  time.Time `json:"loaded"`
	Reloads int       `json:"reloads"`
	Changes *Changes  `json:"changes,omitempty"` // of the last reload
	Failed  time.Time `json:"failed,omitzero"`   // when the last reload failed, if it did
	Error   string    `json:"error,omitempty"`
}

// WorkerStatus is how a worker is.
type WorkerStatus struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Class     string `json:"class"`
	Connector string `json:"connector,omitempty"`
	// Transports and Exposed are what a dispatcher joins.
	Transports []string  `json:"transport_names,omitempty"`
	Exposed    []string  `json:"exposed_names,omitempty"`
	File       string    `json:"file"`
	Running    bool      `json:"running"`
	Consuming  bool      `json:"consuming"`
	Since      time.Time `json:"since"`
	Failures   int       `json:"failures"`
	LastError  string    `json:"last_error,omitempty"`
	// Dependencies are how the things are that the worker depends on.
	Dependencies []worker.Dependency `json:"dependencies,omitempty"`
	// Held is how many bodies it holds of each queue: received, not settled.
	Held map[string]int64 `json:"held,omitempty"`
	// Limits is how many it holds of each queue at most, now.
	Limits map[string]int `json:"limits,omitempty"`
	// Retrying is how many bodies of each queue it has put off, and wait for their
	// next try.
	Retrying map[string]int `json:"retrying,omitempty"`
	// Tries are the highest try that one of these waits for: 2 after the first failure.
	Tries map[string]int `json:"retrying_tries,omitempty"`
	// Oldest is when the oldest was made of what it holds, by queue.
	Oldest map[string]time.Time `json:"oldest,omitempty"`
	// Paced says that its own rate (mt_tps and its like) holds something back.
	Paced bool `json:"paced,omitempty"`
}

// Status says how the process is.
func (p *Process) Status() Status {
	s := Status{Version: p.Version, Broker: p.brokerStatus(), State: StateStatus{p.StateName, p.Record != nil, p.stateWarning()}}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Stopping = p.stopping
	s.Config, s.Lossy, s.Paused = p.loaded.status(), maps.Clone(p.lossy), map[string]worker.Pause{}
	for _, i := range p.workers {
		w, paused := i.status(), p.pauses.Of(i.def.queues()...)
		w.Consuming = w.Consuming || len(paused) > 0 // it would
		s.Workers = append(s.Workers, w)
		maps.Copy(s.Paused, paused)
	}
	s.NotReady = s.notReady()
	return s
}

func (p *Process) brokerStatus() BrokerStatus {
	state := p.Broker.State()
	s := BrokerStatus{
		Name: p.BrokerName, Connected: state.Connected, Blocked: state.Blocked, Reconnects: state.Reconnects,
		Idle: state.Idle, Unroutable: state.Unroutable,
	}
	if !state.Connected {
		s.Error = fmt.Sprint(state.LastError)
	}
	return s
}

func (l loaded) status() ConfigStatus {
	s := ConfigStatus{Loaded: l.at, Reloads: l.count}
	if l.count > 0 {
		s.Changes = &l.changes
	}
	if l.err != nil {
		s.Failed, s.Error = l.tried, l.err.Error()
	}
	return s
}

func (i *instance) status() WorkerStatus {
	_, unqueued := i.def.plugin.(Unqueued)
	s := WorkerStatus{
		Name: i.def.Name, Kind: i.def.Kind, Class: i.def.Class, Connector: i.def.Connector, File: i.def.Path,
		Running: i.up, Consuming: unqueued || i.queues.Load() > 0, Since: i.since, Failures: i.restarts,
		Transports: i.def.Names.Transports, Exposed: i.def.Names.Exposed, Dependencies: i.monitor.Dependencies(), Held: i.monitor.Held(),
		Limits: i.monitor.Limits(),
		Oldest: i.monitor.Oldest(), Paced: i.monitor.Paced(),
	}
	s.Retrying, s.Tries = i.monitor.Retrying()
	if i.lastErr != nil {
		s.LastError = i.lastErr.Error()
	}
	return s
}

func (s *Status) notReady() (reasons []string) {
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	if s.Stopping {
		add("the process is stopping")
	}
	if !s.Broker.Connected {
		add("the broker is not connected (%s)", s.Broker.Error)
	}
	if len(s.Broker.Idle) > 0 {
		add("not being consumed: %s", strings.Join(s.Broker.Idle, ", "))
	}
	if s.Broker.Unroutable != "" {
		add("publications to %s are returned: its queue or binding was deleted", s.Broker.Unroutable)
	}
	if s.Broker.Blocked != "" {
		add("the broker accepts no messages: %s", s.Broker.Blocked)
	}
	if len(s.Workers) == 0 {
		add("no worker has started yet")
	}
	for _, w := range s.Workers {
		switch {
		case !w.Running:
			add("worker %s is not running (%s)", w.Name, w.LastError)
		case !w.Consuming:
			add("worker %s does not consume yet", w.Name)
		}
		for _, d := range w.Dependencies {
			if d.Health == message.Down {
				add("worker %s: %s", w.Name, describe(d))
			}
		}
	}
	return reasons
}

// describe is one line for people.
func describe(d worker.Dependency) string {
	text := fmt.Sprintf("%s %s is %s since %s (%s)", d.Kind, d.Name, d.Health, stamp(d.Since), time.Since(d.Since).Round(time.Second))
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return text
}

// Link is the worst health of what the worker depends on; "-" where nothing was
// reported.
func (w WorkerStatus) Link() string {
	worst := message.Health("-")
	for _, d := range w.Dependencies {
		if worst == "-" || d.Health == message.Down || worst == message.OK {
			worst = d.Health
		}
	}
	return string(worst)
}

// Text writes the status for people: one screen.
func (s Status) Text(out io.Writer) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	line("switchboard %s\n", s.Version)
	if s.Stopping {
		line("STOPPING: nothing more is received, what is in flight is finished")
	}
	connected := "connected"
	if !s.Broker.Connected {
		connected = "not connected (" + s.Broker.Error + ")"
	}
	line("broker: %s, %d reconnects%s", connected, s.Broker.Reconnects, at(s.Broker.Name))
	if s.Broker.Blocked != "" {
		line("broker accepts no messages now: %s", s.Broker.Blocked)
	}
	if s.State.Warning != "" {
		line("WARNING: %s", s.State.Warning)
	} else if s.State.Name != "" {
		line("state: %s", s.State.Name)
	}
	for _, queue := range slices.Sorted(maps.Keys(s.Lossy)) {
		line("WARNING: RabbitMQ drops messages of %s unseen: %s; %s", queue, s.Lossy[queue], lossyAdvice)
	}
	for _, queue := range slices.Sorted(maps.Keys(s.Paused)) {
		line("PAUSED: %s %s; to end it: switchboard resume %s", queue, DescribePause(s.Paused[queue]), queue)
	}
	s.Config.text(line)
	line("")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WORKER\tKIND\tCLASS\tSTATE\tFOR\tLINK\tHOLDS\tOLDEST\tRETRYING\tFAILURES\tFILE")
	for _, w := range s.Workers {
		state := "running"
		if !w.Running {
			state = "down"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", w.Name, w.Kind, w.Class, state,
			time.Since(w.Since).Round(time.Second), w.Link(), w.holds(), w.oldest(), w.retrying(), w.Failures, w.File)
	}
	_ = table.Flush()
	for _, w := range s.Workers {
		for _, d := range w.Dependencies {
			if d.Health != message.OK {
				line("\n%s: %s", w.Name, describe(d))
			}
		}
		if w.LastError != "" {
			line("\n%s failed last with: %s", w.Name, w.LastError)
		}
	}
}

func sum[N int | int64](counts map[string]N) (n N) {
	for _, count := range counts {
		n += count
	}
	return n
}

// holds is how many bodies the worker holds, and how many at most: "3 of 60".
func (w WorkerStatus) holds() string {
	if len(w.Limits) == 0 {
		return fmt.Sprint(sum(w.Held))
	}
	return fmt.Sprintf("%d of %d", sum(w.Held), sum(w.Limits))
}

// oldest is the age of the oldest that the worker holds, "-" where it holds nothing, and
// says whether the worker's own rate holds it back.
func (w WorkerStatus) oldest() string {
	text := "-"
	if len(w.Oldest) > 0 {
		text = time.Since(slices.MinFunc(slices.Collect(maps.Values(w.Oldest)), time.Time.Compare)).Round(time.Second).String()
	}
	if w.Paced {
		text += " (rate)"
	}
	return text
}

// retrying is how many wait for their next try, and the highest that is.
func (w WorkerStatus) retrying() string {
	text, try := fmt.Sprint(sum(w.Retrying)), 0
	for _, t := range w.Tries {
		try = max(try, t)
	}
	if try > 0 {
		text += fmt.Sprintf(" (try %d)", try)
	}
	return text
}

func (c ConfigStatus) text(line func(format string, args ...any)) {
	last := ""
	if c.Changes != nil {
		last = "; the last: " + c.Changes.String()
	}
	line("configuration: loaded %s, reloads: %d%s", stamp(c.Loaded), c.Reloads, last)
	if c.Error != "" {
		line("the reload at %s FAILED; what was loaded before stays in use:\n  %s", stamp(c.Failed), strings.ReplaceAll(c.Error, "\n", "\n  "))
	}
}

func at(name string) string {
	if name == "" {
		return ""
	}
	return ", " + name
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
