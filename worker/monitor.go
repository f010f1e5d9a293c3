package worker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// Monitor is what a worker reports of itself: how the things are that it depends
// on, and how many bodies it holds. A nil *Monitor keeps nothing.
type Monitor struct {
	worker  string
	metrics *Metrics

	mu           sync.Mutex
	stateWarned  time.Time // when WarnOfState last logged
	stateQuiet   int       // warnings that it left out since
	dependencies []Dependency
	held         map[string]*atomic.Int64     // by queue
	limits       map[string]int               // of what is held, by queue
	retrying     map[string]map[int64]retries // by queue and the second they return in
	oldest       map[string]func() time.Time

	paced atomic.Int64 // when the worker's own rate held something back last, Unix seconds
}

// Dependency is something a worker cannot work without, and how it is.
type Dependency struct {
	Kind   string         `json:"kind"` // one of the Depends constants
	Name   string         `json:"name"` // which of its kind: a component of the transport
	Health message.Health `json:"health"`
	Reason string         `json:"reason,omitempty"`
	Since  time.Time      `json:"since"` // when it became so
}

// What workers depend on. The broker is the whole process's.
const (
	DependsOnLink     = "link"     // a transport's connection to the outside
	DependsOnState    = "state"    // the state store
	DependsOnDatabase = "database" // the record
)

// NewMonitor makes the monitor of a worker.
func NewMonitor(worker string, metrics *Metrics) *Monitor {
	return &Monitor{
		worker: worker, metrics: metrics,
		held: map[string]*atomic.Int64{}, limits: map[string]int{}, retrying: map[string]map[int64]retries{},
		oldest: map[string]func() time.Time{},
	}
}

// Report says how something is that the worker depends on. Reason is a sentence
// for an operator; it may change without a change of health.
func (m *Monitor) Report(kind, name string, health message.Health, reason string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.dependencies, func(d Dependency) bool { return d.Kind == kind && d.Name == name })
	if i < 0 {
		i = len(m.dependencies)
		m.dependencies = append(m.dependencies, Dependency{Kind: kind, Name: name})
	}
	d := &m.dependencies[i]
	if d.Health != health {
		d.Health, d.Since = health, time.Now()
		m.metrics.dependency(m.worker, kind, name, health)
	}
	d.Reason = reason
}

// Dependencies are all that were reported, by kind and name.
func (m *Monitor) Dependencies() []Dependency {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.dependencies)
	slices.SortFunc(all, func(a, b Dependency) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Down says whether everything of a kind that was reported is down.
func (m *Monitor) Down(kind string) bool {
	reported := false
	for _, d := range m.Dependencies() {
		if d.Kind == kind {
			if d.Health != message.Down {
				return false
			}
			reported = true
		}
	}
	return reported
}

// stateWarnEvery is how often the log tells that the state store fails: it fails for
// every message.
const stateWarnEvery = time.Minute

// stateError is a failure of the state store.
type stateError struct{ error }

func (e stateError) Unwrap() error { return e.error }

// WarnOfState logs a consequence of a failing state store at most once a minute, with
// how many it left out before.
func (m *Monitor) WarnOfState(log *slog.Logger, text string, args ...any) {
	if m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if time.Since(m.stateWarned) < stateWarnEvery {
			m.stateQuiet++
			return
		}
		args = append(args, "others_before", m.stateQuiet)
		m.stateWarned, m.stateQuiet = time.Now(), 0
	}
	log.Warn(text, args...)
}

// Held is how many bodies the worker holds of each queue: received and not yet
// settled.
func (m *Monitor) Held() map[string]int64 {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	held := map[string]int64{}
	for queue, n := range m.held {
		if n := n.Load(); n != 0 {
			held[queue] = n
		}
	}
	return held
}

// Limits is how many bodies of each queue the worker holds at most.
func (m *Monitor) Limits() map[string]int {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.limits)
}

// limit says how many bodies of a queue are held at most; 0 that it is not consumed.
func (m *Monitor) limit(queue string, limit int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limits[queue] = limit; limit == 0 {
		delete(m.limits, queue)
	}
}

// Holding is the count of a queue, for frames that consume by themselves.
func (m *Monitor) Holding(queue string) *atomic.Int64 {
	if m == nil {
		return new(atomic.Int64)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[queue] == nil {
		m.held[queue] = new(atomic.Int64)
	}
	return m.held[queue]
}

// Oldest is when the oldest message or event was made of those that the worker holds, by
// queue. What waits in the queue may be older: a retry, or what was put back.
func (m *Monitor) Oldest() map[string]time.Time {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]time.Time{}
	for queue, oldest := range m.oldest {
		if t := oldest(); !t.IsZero() {
			all[queue] = t
		}
	}
	return all
}

func (m *Monitor) age(queue string, oldest func() time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.oldest[queue] = oldest
}

// pacedFor is how long a worker that its rate held back is said to be.
const pacedFor = 5 * time.Second

// Pace notes that the worker's own rate (mt_tps and its like) holds something back now.
func (m *Monitor) Pace() {
	if m != nil {
		m.paced.Store(time.Now().Unix())
	}
}

// Paced says whether the worker's own rate holds something back.
func (m *Monitor) Paced() bool {
	return m != nil && time.Since(time.Unix(m.paced.Load(), 0)) < pacedFor
}

// retries are bodies that wait for their next try, and the highest number that one has.
type retries struct{ n, try int }

// putOff notes that a body waits for its next try, the 2nd or a later one, and returns to
// its queue then.
func (m *Monitor) putOff(queue string, delay time.Duration, try int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.retrying[queue] == nil {
		m.retrying[queue] = map[int64]retries{}
	}
	second := time.Now().Add(delay).Unix()
	r := m.retrying[queue][second]
	m.retrying[queue][second] = retries{r.n + 1, max(r.try, try)}
}

// Retrying is how many bodies of each queue wait for their next try, of those that
// this worker has put off since it started, and the highest try that one waits for.
func (m *Monitor) Retrying() (waiting, tries map[string]int) {
	if m == nil {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting, tries = map[string]int{}, map[string]int{}
	now := time.Now().Unix()
	for queue, seconds := range m.retrying {
		waiting[queue] = 0
		for second, r := range seconds {
			if second < now {
				delete(seconds, second)
				continue
			}
			waiting[queue] += r.n
			tries[queue] = max(tries[queue], r.try)
		}
	}
	return waiting, tries
}

// Close takes the worker's gauges away.
func (m *Monitor) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dependencies {
		m.metrics.forget(m.worker, d.Kind, d.Name)
	}
}

// MonitoredState reports to the monitor whether a state store answers.
func MonitoredState(state store.State, m *Monitor) store.State {
	if state == nil {
		return nil
	}
	return &monitored{state: state, monitor: m}
}

type monitored struct {
	state   store.State
	monitor *Monitor
	health  atomic.Int32 // what was reported last: healthUnknown, …
}

const (
	healthUnknown = iota
	healthOK
	healthDown
)

// note reports what an answer of the store says of it, and marks an error as its.
func (s *monitored) note(err error) error {
	switch {
	case err == nil:
		if s.health.Load() != healthOK && s.health.Swap(healthOK) != healthOK {
			s.monitor.Report(DependsOnState, "store", message.OK, "")
		}
		return nil
	case !errors.Is(err, context.Canceled):
		s.health.Store(healthDown)
		s.monitor.Report(DependsOnState, "store", message.Down, err.Error())
	}
	return stateError{err}
}

// InMemory says whether the state is in memory.
func (s *monitored) InMemory() bool { return store.InMemory(s.state) }

func (s *monitored) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	found, err := s.state.Get(ctx, keys...)
	return found, s.note(err)
}

func (s *monitored) Set(ctx context.Context, entries ...store.Entry) error {
	return s.note(s.state.Set(ctx, entries...))
}

func (s *monitored) Add(ctx context.Context, e store.Entry) (value string, added bool, err error) {
	value, added, err = s.state.Add(ctx, e)
	return value, added, s.note(err)
}

func (s *monitored) Increment(ctx context.Context, key string, by int64, ttl time.Duration) (int64, error) {
	n, err := s.state.Increment(ctx, key, by, ttl)
	return n, s.note(err)
}

func (s *monitored) Delete(ctx context.Context, keys ...string) error {
	return s.note(s.state.Delete(ctx, keys...))
}

func (s *monitored) Range(ctx context.Context, from, to string, limit int) ([]store.Entry, error) {
	found, err := s.state.Range(ctx, from, to, limit)
	return found, s.note(err)
}
