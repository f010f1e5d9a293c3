package persistence_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/worker"
)

// runSuite holds a worker to its promises on a broker and a database that open
// gives: a broker that may be shared, and an empty, migrated database.
func runSuite(t *testing.T, open func(t testing.TB) (broker.Broker, store.Database)) {
	for name, test := range map[string]func(*bench){
		"a conversation":                     conversation,
		"events first, bodies twice":         anyOrder,
		"bad bodies are dead-lettered alone": badBodies,
		"any text is kept":                   anyText,
		"let go on purpose":                  settle,
		"a transport's country":              country,
		"a failed message is sent again":     resend,
		"refused by a dispatcher":            refused,
		"paused":                             paused,
		"batches close by size":              bySize,
		"batches close by bytes":             byBytes,
		"a body over the limit":              overLimit,
		"the database fails for a while":     failing,
		"stopped while the database fails":   stoppedWhileFailing,
		"broadcast":                          broadcast,
		"broadcast: retries":                 retries,
		"broadcast: pause and cancel":        pauseAndCancel,
		"broadcast: schedule and throttle":   scheduleAndThrottle,
		"broadcast: replicas share":          replicasShare,
		"broadcast: the database is away":    awayInBetween,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{TB: t, id: strings.ToLower(rand.Text()[:10])}
			b.broker, b.db = open(t)
			b.sms, b.app = "sms"+b.id, "app"+b.id
			t.Cleanup(b.deleteQueues)
			test(b)
		})
	}
}

// bench is a fleet of one transport and one application, which the test plays,
// and of the worker.
type bench struct {
	testing.TB
	id       string
	broker   broker.Broker
	db       store.Database
	sms, app string
	monitor  *worker.Monitor // of the worker started last
	pauses   *worker.Pauses  // nil where nobody pauses queues
}

func (b *bench) worker() *persistence.Persistence {
	p := persistence.New()
	p.Name = "p" + b.id
	p.Transports, p.Exposed = options.Names{b.sms}, options.Names{b.app}
	p.Broadcasts = false
	return p
}

// start runs the worker, on db, and returns when its queue is there; stop ends
// it as an operator does.
func (b *bench) start(p *persistence.Persistence, db store.Database) (stop func()) {
	b.Helper()
	if err := p.Validate(); err != nil {
		b.Fatal(err)
	}
	b.monitor = worker.NewMonitor(p.Name, nil)
	w, err := p.Worker(worker.Dependencies{
		Monitor: b.monitor, Pauses: b.pauses, Name: p.Name, Kind: worker.KindWorker, Broker: b.broker, State: db, Record: db, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("the worker ended with: %v", err)
		}
	})
	b.Cleanup(stop)
	b.await("the worker consumes", func() bool {
		info, err := b.broker.Inspect(b.Context(), persistence.RecordQueue(p.Name))
		return err == nil && info.Consumers > 0
	})
	return stop
}

// database is what the worker reports of its database.
func (b *bench) database() worker.Dependency {
	for _, d := range b.monitor.Dependencies() {
		if d.Kind == worker.DependsOnDatabase {
			return d
		}
	}
	return worker.Dependency{}
}

func (b *bench) deleteQueues() {
	ctx := context.Background()
	tap, tasks := persistence.RecordQueue("p"+b.id), persistence.TaskQueue("p"+b.id)
	for _, queue := range []string{tap, tap + broker.DeadSuffix, tasks, b.sms + ".outbound"} {
		if err := b.broker.Delete(ctx, queue); err != nil {
			b.Error(err)
		}
	}
}

func (b *bench) await(what string, ok func() bool) {
	b.Helper()
	testutil.Eventually(b, what, ok)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) publish(key string, body []byte) {
	b.Helper()
	b.must(b.broker.Publish(b.Context(), broker.Publication{Key: key, Body: body}))
}

func (b *bench) inbound(text string) *message.Message {
	m := message.New()
	m.From, m.To, m.TransportName, m.Content = "+27831234567", "12345", b.sms, text
	return m
}

// reply is the answer as the dispatcher hands it over.
func (b *bench) reply(to *message.Message, text string) *message.Message {
	m := message.New()
	m.To, m.From, m.TransportName, m.InReplyTo, m.Content = to.From, to.To, b.sms, to.ID, text
	m.RoutingMetadata.Set(message.PathKey, []string{b.app})
	return m
}

func (b *bench) publishMessage(flow message.Flow, m *message.Message) {
	b.Helper()
	b.publish(message.Key(b.sms, flow), m.Encode())
}

func (b *bench) publishEvent(e *message.Event) {
	b.Helper()
	e.TransportName = b.sms
	b.publish(message.Key(b.sms, message.EventFlow), e.Encode())
}

func (b *bench) receipt(m *message.Message, outcome, reason string) []byte {
	return message.Receipt{
		MessageID: m.ID, Application: b.app, Outcome: outcome, Reason: reason, Timestamp: message.FormatTime(time.Now()),
	}.Encode()
}

// record is what the database has of a message.
func (b *bench) record(id string) (found store.Record, there bool) {
	b.Helper()
	trace, err := b.db.Trace(b.Context(), id)
	if err != nil {
		return found, false
	}
	for _, r := range trace.Records {
		if r.ID == id {
			return r, true
		}
	}
	return found, false
}

func (b *bench) awaitState(m *message.Message, want store.Status) store.Record {
	b.Helper()
	var r store.Record
	b.await(fmt.Sprintf("%q is %s", m.Content, want), func() bool {
		r, _ = b.record(m.ID)
		return r.Status == want
	})
	return r
}

func (b *bench) recorded() (n int) {
	b.Helper()
	for _, err := range b.db.Messages(b.Context(), store.Filter{}) {
		b.must(err)
		n++
	}
	return n
}

func (b *bench) waiting(queue string) int {
	info, err := b.broker.Inspect(b.Context(), queue)
	if err != nil {
		return 0
	}
	return info.Messages
}

// dead is what lies in the worker's dead letters.
func (b *bench) dead() (found []*broker.Delivery) {
	b.Helper()
	queue := persistence.RecordQueue("p"+b.id) + broker.DeadSuffix
	if b.waiting(queue) == 0 {
		return nil
	}
	b.must(b.broker.Browse(b.Context(), queue, 100, func(d *broker.Delivery) (broker.Verdict, error) {
		found = append(found, d)
		return broker.Keep, nil
	}))
	return found
}
