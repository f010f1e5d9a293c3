// Package chaos attacks a fleet of its own, process by process, on real servers, and accounts
// for every message at the end. A seed names the attack.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/internal/backoff"
	"switchboard/operate"
	"switchboard/operate/queues"
	"switchboard/store"
)

// Settings say what is attacked, and how.
type Settings struct {
	Seed     uint64
	Duration time.Duration // of the attack
	// Patience is how long the fleet may take afterwards to finish with every message.
	Patience  time.Duration
	Rate      int // messages that people write in a second
	QueueType string
	// AMQPURL and DatabaseURL name servers for tests: queues are deleted.
	AMQPURL, DatabaseURL string
	// Services is scripts/services, or a program with its commands: it stops, kills and starts
	// the servers. Without it they are left alone.
	Services string
	Program  string // the binary whose workers run
	Dir      string // for files and logs
	Classes  fleet.Classes
	// Say is called with a line about what happens.
	Say func(line string)
}

const (
	answerTimeout = 5 * time.Second
	pollEvery     = 100 * time.Millisecond
	startTimeout  = time.Minute
	stopTimeout   = 90 * time.Second
	reloadTimeout = time.Minute // a dispatcher that restarts for it takes stop_timeout (20 s)
	// stuckAfter and againAfter are for an audit of a fleet that has nothing to do.
	stuckAfter = time.Millisecond
	againAfter = time.Second
)

// Result is what a run found out.
type Result struct {
	Seed      uint64         `json:"seed"`
	QueueType string         `json:"queue_type"`
	Faults    map[Kind]int   `json:"faults"`
	Drained   time.Duration  `json:"drained"` // from the last fault to the last message
	Accepted  int            `json:"accepted"`
	Refused   int            `json:"refused"` // by the fleet, for good
	Lost      []string       `json:"lost,omitempty"`
	Again     int            `json:"again"` // answers that came once more
	Bound     int            `json:"bound"` // of Again
	Poison    int            `json:"poison"`
	Dead      int            `json:"dead"`       // dead letters that are poison
	OtherDead []string       `json:"other_dead"` // dead letters that are not
	Recorded  map[string]int `json:"recorded"`   // by direction and state
	Missing   int64          `json:"missing"`    // of the record, as the audit says
	Stuck     int64          `json:"stuck"`
	Orphan    int64          `json:"orphan"`
	Problems  []string       `json:"problems,omitempty"`
	Alone     map[string]int `json:"ended_by_themselves,omitempty"`
	Servers   bool           `json:"servers"` // they were attacked too
}

// Failed says what broke a promise; empty when nothing did.
func (r *Result) Failed() (what []string) {
	add := func(broken bool, text string, args ...any) {
		if broken {
			what = append(what, fmt.Sprintf(text, args...))
		}
	}
	add(r.Accepted == 0, "no message was accepted")
	add(r.Refused > 0, "%d messages were refused", r.Refused)
	add(len(r.Lost) > 0, "%d messages were lost", len(r.Lost))
	add(r.Again > r.Bound, "%d answers came again, and at most %d were in flight", r.Again, r.Bound)
	add(r.Dead < r.Poison, "%d of %d poisonous bodies are no dead letters", r.Poison-r.Dead, r.Poison)
	add(len(r.OtherDead) > 0, "%d messages became dead letters", len(r.OtherDead))
	open := 0
	for _, state := range unfinished {
		open += r.Recorded["I "+string(state)] + r.Recorded["O "+string(state)]
	}
	add(open > 0 || r.Recorded["I R"] < r.Accepted, "the record has %v", r.Recorded)
	add(r.Missing > 0 || r.Stuck > 0 || r.Orphan > 0, "the audit names %d missing, %d stuck and %d orphaned", r.Missing, r.Stuck, r.Orphan)
	return append(what, r.Problems...)
}

// run is one attack.
type run struct {
	Settings

	people    *people
	broker    broker.Broker
	db        store.Database
	processes map[string]*process
	servers   map[string]*sync.Mutex // held while a fault lasts
	began     time.Time
	result    Result

	mu sync.Mutex // of result
}

// Run attacks, waits until all is done, and accounts. Its error is about the run itself; what
// the fleet did wrong is in the result.
func Run(ctx context.Context, s Settings) (result *Result, err error) {
	r := &run{
		Settings: s, began: time.Now(), processes: map[string]*process{}, servers: map[string]*sync.Mutex{linkRabbit: {}, linkPostgres: {}},
		result: Result{Seed: s.Seed, QueueType: s.QueueType, Faults: map[Kind]int{}, Recorded: map[string]int{}, Servers: s.Services != ""},
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if err := r.attack(ctx); err != nil {
		return nil, err
	}
	return &r.result, r.account(ctx)
}

func (r *run) open(ctx context.Context) (err error) {
	if r.people, err = newPeople(r.Seed, strconv.FormatInt(time.Now().UnixNano(), 36)); err != nil {
		return err
	}
	if err := r.prepare(); err != nil { // before anything is connected to, or migrated
		return err
	}
	if r.broker, err = queues.Connect(ctx, r.AMQPURL); err != nil {
		return err
	}
	if r.db, err = fleet.OpenDatabase(ctx, r.DatabaseURL, slog.New(slog.DiscardHandler)); err != nil {
		return operate.Misused(err)
	}
	if err := r.db.Migrate(ctx); err != nil {
		return operate.Unreachable{Err: err}
	}
	target, err := r.target()
	if err != nil {
		return err
	}
	for _, queue := range target.Queues() {
		for _, name := range []string{queue, queue + broker.DeadSuffix} {
			if err := r.broker.Delete(ctx, name); err != nil && !errors.Is(err, broker.ErrNoQueue) {
				return operate.Unreachable{Err: fmt.Errorf("deleting queue %s: %w", name, err)}
			}
		}
	}
	return r.startAll(ctx)
}

// prepare opens the proxies and writes the files of all processes.
func (r *run) prepare() error {
	if err := os.MkdirAll(filepath.Join(r.Dir, "fleet"), 0o700); err != nil {
		return err
	}
	for _, m := range members {
		p, err := r.newProcess(m)
		r.processes[m.name] = p
		if err != nil {
			return err
		}
	}
	return nil
}

// target is the fleet's files; of two replicas one is enough.
func (r *run) target() (queues.Target, error) {
	var files []string
	seen := map[string]bool{}
	for _, m := range members {
		if !seen[m.yaml] {
			seen[m.yaml] = true
			files = append(files, r.processes[m.name].file)
		}
	}
	return queues.Find(r.Classes, files)
}

func (r *run) startAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return r.each(func(p *process) error {
		if err := p.start(); err != nil {
			return err
		}
		return p.says(ctx, "/readyz", "")
	})
}

// each calls do for all processes at once.
func (r *run) each(do func(*process) error) error {
	errs := make(chan error, len(r.processes))
	for _, p := range r.processes {
		go func() { errs <- do(p) }()
	}
	var all []error
	for range r.processes {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// attack has people write while faults happen, and ends when all faults have.
func (r *run) attack(ctx context.Context) error {
	writing, enough := context.WithTimeout(ctx, r.Duration)
	defer enough()
	var jobs sync.WaitGroup
	defer jobs.Wait()
	jobs.Go(func() { r.people.write(writing, ctx, r.Rate) })
	jobs.Go(func() { r.people.watch(writing) })
	began := time.Now()
	for _, e := range Plan(r.Seed, r.Duration, r.Services != "") {
		if !backoff.Sleep(ctx, time.Until(began.Add(e.At))) {
			return ctx.Err()
		}
		jobs.Go(func() { r.strike(ctx, e) })
	}
	<-writing.Done()
	return ctx.Err()
}

// account waits until nothing is left to be done, and counts.
func (r *run) account(ctx context.Context) error {
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	var err error
	for {
		var done bool
		if done, err = r.settled(waiting); done {
			break
		}
		if !backoff.Sleep(waiting, 5*pollEvery) {
			r.problem("after %v not all was done: %v", r.Patience, err)
			break
		}
	}
	r.result.Drained = time.Since(began).Round(100 * time.Millisecond)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.count(ctx)
}

// settled says that every message has come to its end.
func (r *run) settled(ctx context.Context) (bool, error) {
	accepted, lost, _ := r.people.count()
	if unaccepted := int(r.people.sent.Load()) - accepted; unaccepted > 0 || len(lost) > 0 {
		return false, fmt.Errorf("%d messages are not accepted and %d not answered", unaccepted, len(lost))
	}
	target, err := r.target()
	if err != nil {
		return false, err
	}
	depths, err := r.broker.InspectAll(ctx, target.Queues()...)
	for name, info := range depths {
		if info.Messages > 0 {
			return false, fmt.Errorf("queue %s holds %d", name, info.Messages)
		}
	}
	if err != nil {
		return false, err
	}
	// Reading every record takes long: these are counted by the database.
	found, err := r.db.Audit(ctx, store.AuditLimits{Since: r.began, Stuck: stuckAfter})
	if err != nil {
		return false, err
	}
	inbound := 0
	for _, c := range found.Counts {
		switch {
		case c.N > 0 && slices.Contains(unfinished, c.Status):
			return false, fmt.Errorf("the record has %d of %s in state %s", c.N, c.Backend, c.Status)
		case c.Direction == store.Inbound:
			inbound += int(c.N)
		}
	}
	if dated := accepted - r.people.misdated(); inbound < dated {
		return false, fmt.Errorf("the record has %d of %d", inbound, dated)
	}
	return true, nil
}

// unfinished are the states in which something is still to come.
var unfinished = []store.Status{store.StatusQueued, store.StatusPassing, store.StatusSent}

// recorded counts this run's messages in the record, such as "O D".
func (r *run) recorded(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	for record, err := range r.db.Messages(ctx, store.Filter{Text: "chaos " + r.people.run}) {
		if err != nil {
			return nil, err
		}
		counts[string(record.Direction)+" "+string(record.Status)]++
	}
	return counts, nil
}

func (r *run) count(ctx context.Context) (err error) {
	res := &r.result
	var lost []int64
	res.Accepted, lost, res.Again = r.people.count()
	for _, n := range lost {
		res.Lost = append(res.Lost, r.people.text(n))
	}
	res.Refused, res.Poison = len(r.people.refused), r.people.poison
	if res.Recorded, err = r.recorded(ctx); err != nil {
		return operate.Unreachable{Err: err}
	}
	target, err := r.target()
	if err != nil {
		return err
	}
	for _, queue := range target.Queues() {
		if err := r.countDead(ctx, queue+broker.DeadSuffix); err != nil {
			return operate.Unreachable{Err: err}
		}
	}
	audit := queues.Audit{Record: r.db, Limits: store.AuditLimits{Since: r.began, Stuck: stuckAfter}, Again: againAfter}
	found, err := audit.OfFleet(ctx, r.broker, target)
	if err != nil {
		return err
	}
	res.Missing, res.Orphan = found.Missing, found.Orphan
	for _, c := range found.StuckCounts {
		res.Stuck += c.N
	}
	res.Stuck -= res.Missing
	res.Alone = map[string]int{}
	for name, p := range r.processes {
		p.mu.Lock()
		if p.alone > 0 {
			res.Alone[name] = p.alone
			r.problem("%s ended by itself %d times; its log is %s", name, p.alone, p.log)
		}
		p.mu.Unlock()
	}
	return nil
}

// maxDead bounds how many dead letters of a queue are looked at, and named.
const (
	maxDead  = 100_000
	maxNamed = 20
)

func (r *run) countDead(ctx context.Context, queue string) error {
	err := r.broker.Browse(ctx, queue, maxDead, func(d *broker.Delivery) (broker.Verdict, error) {
		switch {
		case slices.Contains(poisons(), string(d.Body)):
			r.result.Dead++
		case len(r.result.OtherDead) < maxNamed:
			r.result.OtherDead = append(r.result.OtherDead, fmt.Sprintf("%s: %.300s %v", queue, d.Body, d.Headers))
		}
		return broker.Keep, nil
	})
	if errors.Is(err, broker.ErrNoQueue) {
		return nil
	}
	return err
}

func (r *run) problem(text string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Problems = append(r.result.Problems, fmt.Sprintf(text, args...))
}

func (r *run) close() error {
	err := r.each(func(p *process) error {
		p.signal(syscall.SIGCONT)
		return p.end(syscall.SIGTERM, stopTimeout)
	})
	for _, p := range r.processes {
		for _, link := range p.links {
			link.Close()
		}
	}
	if r.people != nil {
		r.people.close()
	}
	if r.broker != nil {
		err = errors.Join(err, fleet.CloseBroker(r.broker))
	}
	if r.db != nil {
		err = errors.Join(err, r.db.Close())
	}
	return err
}

// services runs a command of Services.
func (r *run) services(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout+startTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, r.Services, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", r.Services, strings.Join(args, " "), err, out)
	}
	return nil
}

// Kinds are the kinds of a result's faults, in order.
func (r *Result) Kinds() []Kind {
	return slices.Sorted(maps.Keys(r.Faults))
}
