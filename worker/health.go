package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
)

// HealthTracker knows how transports are from the status events they publish.
// Those come to one queue that all replicas of the worker share, so each
// replica gets a part of them only; the state store carries the rest. A transport
// whose queue nobody consumes any more is taken for down.
type HealthTracker struct {
	runtime *Runtime
	begin   sync.Once
	ready   chan struct{} // closed when there are transports to follow

	mu      sync.RWMutex
	reports map[string]map[string]report // by connector and component
	overall map[string]message.Health
	served  map[string]bool // connectors that were seen with a consumer
}

// report is what a component reported last.
type report struct {
	Health message.Health `json:"health"`
	At     time.Time      `json:"at"`
}

const (
	// statusKey follows a transport's name in the key of its status events.
	statusKey = ".status.status"
	// queueSuffix follows the worker's name in the name of its queue.
	queueSuffix    = ".status"
	healthPrefetch = 20
	// healthRefresh is how late a replica may be in knowing what another received.
	healthRefresh = 2 * time.Second
	// healthTTL is how long a report counts that nothing follows.
	healthTTL = 7 * 24 * time.Hour
	// consumer is the component that stands for a transport's consuming at all.
	consumer = "consumer"
)

// NewHealthTracker makes a tracker that follows no transport yet.
func NewHealthTracker(runtime *Runtime) *HealthTracker {
	return &HealthTracker{
		runtime: runtime, ready: make(chan struct{}),
		reports: map[string]map[string]report{}, overall: map[string]message.Health{}, served: map[string]bool{},
	}
}

// Track tracks transports until stop, which waits for the end.
func (t *HealthTracker) Track(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		t.run(ctx)
	}()
	return func() {
		cancel()
		<-stopped
	}
}

// Of implements Health.
func (t *HealthTracker) Of(connector string) message.Health {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if h, told := t.overall[connector]; told {
		return h
	}
	return message.OK
}

// Follow makes sure that the status events of these transports are received; ctx bounds
// the wait for a broker that is out of reach.
func (t *HealthTracker) Follow(ctx context.Context, transports []string) error {
	if err := t.runtime.Broker.Declare(ctx, t.queue(transports)); err != nil {
		return fmt.Errorf("declaring the queue of the transports' status events: %w", err)
	}
	t.mu.Lock()
	for _, name := range transports {
		if t.reports[name] == nil {
			t.reports[name] = map[string]report{}
		}
	}
	t.mu.Unlock()
	t.begin.Do(func() { close(t.ready) })
	return nil
}

func (t *HealthTracker) queue(transports []string) broker.Queue {
	q := broker.Queue{Name: t.runtime.Name + queueSuffix, Type: t.runtime.Settings.QueueType}
	for _, name := range transports {
		q.Keys = append(q.Keys, name+statusKey)
	}
	return q
}

// run receives status events until ctx ends, once there are transports to follow.
func (t *HealthTracker) run(ctx context.Context) {
	select {
	case <-t.ready:
	case <-ctx.Done():
		return
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { t.refreshForever(ctx) })
	err := t.runtime.Consume(ctx, t.queue(nil), healthPrefetch, func(d *broker.Delivery) {
		t.receive(ctx, d)
		d.Ack() // a status that cannot be read or kept is not tried again: the next one counts
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, broker.ErrClosed) {
		t.runtime.Logger.Error("the transports' status events are not received; transports that are down are not left out any more",
			"queue", t.queue(nil).Name, "error", err)
	}
}

func (t *HealthTracker) receive(ctx context.Context, d *broker.Delivery) {
	connector, isStatus := strings.CutSuffix(d.Key, statusKey)
	s, err := message.DecodeStatus(d.Body)
	if err != nil || !isStatus {
		t.runtime.Logger.Warn("dropped a body that is no status event", "key", d.Key, "error", err)
		return
	}
	if t.note(connector, map[string]report{s.Component: {s.Health, s.Timestamp}}) {
		t.runtime.Logger.Info("transport changed", "transport", connector, "health", t.Of(connector),
			"component", s.Component, "status", s.Health, "text", s.Text)
	}
	t.share(ctx, connector)
}

// note keeps the reports that are newer than those known, and says whether the
// transport's health changed.
func (t *HealthTracker) note(connector string, reports map[string]report) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.reports[connector]
	if known == nil {
		return false // not one of this worker's transports any more
	}
	for component, r := range reports {
		if !r.At.Before(known[component].At) {
			known[component] = r
		}
	}
	was, now := t.overall[connector], message.OK
	for _, r := range known {
		now = worse(now, r.Health)
	}
	t.overall[connector] = now
	return was != now
}

func worse(a, b message.Health) message.Health {
	if a == message.Down || b == message.OK {
		return a
	}
	return b
}

func healthKey(connector string) string { return "health/" + connector }

// share tells the other replicas. Two that do so at once may overwrite each
// other; the next refresh finds that out and shares again.
func (t *HealthTracker) share(ctx context.Context, connector string) {
	if t.runtime.State == nil {
		return
	}
	t.mu.RLock()
	reports, tracked := t.reports[connector]
	text, err := json.Marshal(reports)
	t.mu.RUnlock()
	if !tracked {
		return // its status events still come, and others may track it
	}
	if err == nil {
		err = t.runtime.State.Set(ctx, store.Entry{Key: healthKey(connector), Value: string(text), TTL: healthTTL})
	}
	if err != nil && ctx.Err() == nil {
		t.runtime.Logger.Warn("telling other replicas how a transport is failed", "transport", connector, "error", err)
	}
}

func (t *HealthTracker) refreshForever(ctx context.Context) {
	tick := time.NewTicker(healthRefresh)
	defer tick.Stop()
	for {
		connectors := t.connectors()
		t.refresh(ctx, connectors)
		t.countConsumers(ctx, connectors)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (t *HealthTracker) connectors() (names []string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for name := range t.reports {
		names = append(names, name)
	}
	return names
}

// refresh takes over what other replicas received, and shares what they lack.
func (t *HealthTracker) refresh(ctx context.Context, connectors []string) {
	if t.runtime.State == nil {
		return
	}
	keys := make([]string, len(connectors))
	for i, connector := range connectors {
		keys[i] = healthKey(connector)
	}
	found, err := t.runtime.State.Get(ctx, keys...)
	if err != nil {
		return // what is known still counts
	}
	for _, connector := range connectors {
		var reports map[string]report
		if json.Unmarshal([]byte(found[healthKey(connector)]), &reports) != nil {
			continue // there is none, or another version's
		}
		t.note(connector, reports)
		if t.knowsMore(connector, reports) {
			t.share(ctx, connector)
		}
	}
}

// knowsMore says that reports are not all that is known.
func (t *HealthTracker) knowsMore(connector string, reports map[string]report) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return !maps.EqualFunc(t.reports[connector], reports, func(a, b report) bool { return a.Health == b.Health && a.At.Equal(b.At) })
}

// countConsumers takes a transport that was there and consumes no more for down:
// one that was killed cannot say so itself.
func (t *HealthTracker) countConsumers(ctx context.Context, connectors []string) {
	queues := make([]string, len(connectors))
	for i, connector := range connectors {
		queues[i] = message.Key(connector, message.Outbound)
	}
	infos, err := t.runtime.Broker.InspectAll(ctx, queues...)
	if err != nil {
		return // nothing is known then
	}
	for i, connector := range connectors {
		if info, exists := infos[queues[i]]; exists {
			t.noteConsumers(ctx, connector, info.Consumers)
		}
	}
}

func (t *HealthTracker) noteConsumers(ctx context.Context, connector string, consumers int) {
	t.mu.Lock()
	was := t.reports[connector][consumer].Health
	t.served[connector] = t.served[connector] || consumers > 0
	seen := t.served[connector]
	t.mu.Unlock()
	now := message.OK
	if consumers == 0 {
		now = message.Down
	}
	if now == was || !seen || was == "" && now == message.OK {
		return
	}
	if t.note(connector, map[string]report{consumer: {now, time.Now()}}) {
		t.runtime.Logger.Warn("transport changed", "transport", connector, "health", t.Of(connector),
			"queue", message.Key(connector, message.Outbound), "consumers", consumers)
	}
	t.share(ctx, connector)
}
