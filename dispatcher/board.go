package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// board is what the transports said of themselves. Their status events come to
// one queue that all replicas of the dispatcher share, so each replica hears a
// part only; the state store carries the rest.
type board struct {
	core  *worker.Runtime
	begin sync.Once
	ears  chan struct{} // closed when there is something to listen to

	mu      sync.RWMutex
	said    map[string]map[string]word // by connector and component
	overall map[string]message.Health
	served  map[string]bool // connectors that were seen with a consumer
}

// word is what a component said last.
type word struct {
	Health message.Health `json:"health"`
	At     time.Time      `json:"at"`
}

const (
	// statusKey follows a transport's name in the key of its status events.
	statusKey = ".status.status"
	// queueSuffix follows the dispatcher's name in the name of its queue.
	queueSuffix   = ".status"
	boardPrefetch = 20
	// boardRefresh is how late a replica may be in knowing what another heard.
	boardRefresh = 2 * time.Second
	// boardMemory is how long what a transport said counts without a word more.
	boardMemory = 7 * 24 * time.Hour
)

func newBoard(core *worker.Runtime) *board {
	return &board{
		core: core, ears: make(chan struct{}),
		said: map[string]map[string]word{}, overall: map[string]message.Health{}, served: map[string]bool{},
	}
}

// Of is the worst health of a transport's components.
func (b *board) Of(connector string) message.Health {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if h, told := b.overall[connector]; told {
		return h
	}
	return message.OK
}

// listen makes sure that the status events of these transports are heard.
func (b *board) listen(ctx context.Context, transports []string) error {
	if err := b.core.Broker.Declare(ctx, b.queue(transports)); err != nil {
		return err
	}
	b.mu.Lock()
	for _, t := range transports {
		if b.said[t] == nil {
			b.said[t] = map[string]word{}
		}
	}
	b.mu.Unlock()
	b.begin.Do(func() { close(b.ears) })
	return nil
}

func (b *board) queue(transports []string) broker.Queue {
	q := broker.Queue{Name: b.core.Name + queueSuffix, Type: b.core.Settings.QueueType}
	for _, t := range transports {
		q.Keys = append(q.Keys, t+statusKey)
	}
	return q
}

// run hears until ctx ends; it waits until there is something to listen to.
func (b *board) run(ctx context.Context) {
	select {
	case <-b.ears:
	case <-ctx.Done():
		return
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { b.refreshForever(ctx) })
	err := b.core.Broker.Consume(ctx, b.queue(nil), boardPrefetch, func(d *broker.Delivery) {
		b.hear(ctx, d)
		d.Ack() // a status that cannot be read or kept is not worth another try: the next one counts
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, broker.ErrClosed) {
		b.core.Logger.Error("hearing how transports are failed; those that are down are not passed over any more",
			"queue", b.queue(nil).Name, "error", err)
	}
}

func (b *board) hear(ctx context.Context, d *broker.Delivery) {
	connector, isStatus := strings.CutSuffix(d.Key, statusKey)
	s, err := message.DecodeStatus(d.Body)
	if err != nil || !isStatus {
		b.core.Logger.Warn("let go of what is no status event", "key", d.Key, "error", err)
		return
	}
	if b.note(connector, map[string]word{s.Component: {s.Health, s.Timestamp}}) {
		b.core.Logger.Info("transport changed", "transport", connector, "health", b.Of(connector),
			"component", s.Component, "status", s.Health, "text", s.Text)
	}
	b.share(ctx, connector)
}

// note takes down what components said, where it is newer than what is known,
// and says whether the transport's health changed.
func (b *board) note(connector string, words map[string]word) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.said[connector]
	if known == nil {
		return false // not one of this dispatcher's transports any more
	}
	for component, w := range words {
		if !w.At.Before(known[component].At) {
			known[component] = w
		}
	}
	was, now := b.overall[connector], message.OK
	for _, w := range known {
		now = worse(now, w.Health)
	}
	b.overall[connector] = now
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
func (b *board) share(ctx context.Context, connector string) {
	if b.core.State == nil {
		return
	}
	b.mu.RLock()
	text, err := json.Marshal(b.said[connector])
	b.mu.RUnlock()
	if err == nil {
		err = b.core.State.Set(ctx, store.Entry{Key: healthKey(connector), Value: string(text), TTL: boardMemory})
	}
	if err != nil && ctx.Err() == nil {
		b.core.Logger.Warn("telling other replicas how a transport is failed", "transport", connector, "error", err)
	}
}

func (b *board) refreshForever(ctx context.Context) {
	tick := time.NewTicker(boardRefresh)
	defer tick.Stop()
	for {
		b.refresh(ctx)
		b.lookForConsumers(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// refresh takes over what other replicas heard, and shares what they lack.
func (b *board) refresh(ctx context.Context) {
	if b.core.State == nil {
		return
	}
	var keys []string
	b.mu.RLock()
	for connector := range b.said {
		keys = append(keys, healthKey(connector))
	}
	b.mu.RUnlock()
	found, err := b.core.State.Get(ctx, keys...)
	if err != nil {
		return // what is known still counts; the store's own metrics tell the rest
	}
	for key, text := range found {
		var words map[string]word
		if json.Unmarshal([]byte(text), &words) != nil {
			continue // another version's; ours comes with the next status event
		}
		connector := strings.TrimPrefix(key, healthKey(""))
		b.note(connector, words)
		if b.lacks(connector, words) {
			b.share(ctx, connector)
		}
	}
}

// consumer is the component that stands for a transport's being there at all.
const consumer = "consumer"

// lookForConsumers takes a transport that was there and consumes no more for
// down: one that was killed cannot say so itself.
func (b *board) lookForConsumers(ctx context.Context) {
	b.mu.RLock()
	connectors := slices.Collect(maps.Keys(b.said))
	b.mu.RUnlock()
	for _, connector := range connectors {
		info, err := b.core.Broker.Inspect(ctx, message.Key(connector, message.Outbound))
		if err != nil {
			continue // nothing is known then
		}
		b.noteConsumers(ctx, connector, info.Consumers)
	}
}

func (b *board) noteConsumers(ctx context.Context, connector string, consumers int) {
	b.mu.Lock()
	was := b.said[connector][consumer].Health
	b.served[connector] = b.served[connector] || consumers > 0
	seen := b.served[connector]
	b.mu.Unlock()
	now := message.OK
	if consumers == 0 {
		now = message.Down
	}
	if now == was || !seen || was == "" && now == message.OK {
		return
	}
	if b.note(connector, map[string]word{consumer: {now, time.Now()}}) {
		b.core.Logger.Warn("transport changed", "transport", connector, "health", b.Of(connector),
			"queue", message.Key(connector, message.Outbound), "consumers", consumers)
	}
	b.share(ctx, connector)
}

// lacks says that words are not all that is known.
func (b *board) lacks(connector string, words map[string]word) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return !maps.EqualFunc(b.said[connector], words, func(a, b word) bool { return a.Health == b.Health && a.At.Equal(b.At) })
}
