package audit_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/persistence/audit"
	"switchboard/store"
	"switchboard/store/sqlite"
)

// bench is a fleet of one transport and one application whose queues and record
// the test fills by hand.
type bench struct {
	*testing.T
	broker *memory.Broker
	db     store.Database
	look   *audit.Auditor
	made   time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "record.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bench{T: t, broker: memory.New(memory.Settings{}), db: db, made: time.Now().Add(-time.Hour)}
	t.Cleanup(func() { _ = b.broker.Close(context.Background()) })
	b.must(db.Migrate(t.Context()))
	for _, queue := range []string{"sms.inbound", "sms.outbound", "app.inbound", "app.outbound", "sms.event", "persistence.keep"} {
		b.must(b.broker.Declare(t.Context(), broker.Queue{Name: queue}))
	}
	b.look = &audit.Auditor{
		Record: db, Broker: b.broker, Again: time.Millisecond,
		Fleet:  audit.Fleet{Connectors: []string{"sms", "app"}, RecordQueues: []string{"persistence.keep"}},
		Limits: store.AuditLimits{Stuck: -time.Minute}, // whatever was recorded by now
	}
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// passed records messages that went to or came from the transport sms; the
// first is the oldest.
func (b *bench) passed(direction store.Direction, ids ...string) {
	b.Helper()
	for _, id := range ids {
		b.record(store.Envelope{Direction: direction, Backend: "sms", Message: b.message(id)})
	}
}

func (b *bench) message(id string) *message.Message {
	m := message.New()
	m.ID, m.From, m.To, m.TransportName, m.Timestamp = id, "+27831234567", "12345", "sms", b.made
	return m
}

func (b *bench) record(envelopes ...store.Envelope) {
	b.Helper()
	rejected, err := b.db.Record(b.Context(), envelopes)
	if err != nil || len(rejected) > 0 {
		b.Fatal(rejected, err)
	}
}

func (b *bench) put(queue string, ids ...string) {
	b.Helper()
	for _, id := range ids {
		b.must(b.broker.Publish(b.Context(), broker.Publication{Queue: queue, Body: b.message(id).Encode()}))
	}
}

func (b *bench) wants(missing ...string) *audit.Finding {
	b.Helper()
	found, err := b.look.Audit(b.Context())
	b.must(err)
	var lost []string
	for _, r := range found.Lost {
		lost = append(lost, r.ID)
	}
	if found.Missing != int64(len(missing)) || !slices.Equal(lost, missing) {
		b.Errorf("%d missing, %q; want %q", found.Missing, lost, missing)
	}
	return found
}

// hold takes all of a queue and settles nothing until the test ends.
func (b *bench) hold(queue string, n int) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	taken, done := make(chan *broker.Delivery, n), make(chan error, 1)
	go func() {
		done <- b.broker.Consume(ctx, broker.Queue{Name: queue}, n, func(d *broker.Delivery) { taken <- d })
	}()
	var held []*broker.Delivery
	for range n {
		held = append(held, <-taken)
	}
	b.Cleanup(func() {
		cancel()
		for _, d := range held {
			d.Ack()
		}
		<-done
	})
}

func TestWhatWasPurgedIsMissing(t *testing.T) {
	b := newBench(t)
	b.passed(store.Outbound, "m1", "m2", "m3")
	b.put("sms.outbound", "m1", "m2", "m3")
	b.wants()
	_, err := b.broker.Purge(t.Context(), "sms.outbound")
	b.must(err)
	b.wants("m1", "m2", "m3")
	b.put("sms.outbound", "m3")
	b.wants("m1", "m2") // the oldest, since a queue does not say whom it holds
	if found := b.wants("m1", "m2"); len(found.Stuck) != 1 || found.Stuck[0].ID != "m3" || found.StuckCounts[0].N != 3 {
		t.Errorf("stuck and not missing: %+v of %+v; want m3 of 3", found.Stuck, found.StuckCounts)
	}
	b.look.Limits.MaxStuck = 1
	if found, err := b.look.Audit(t.Context()); err != nil || found.Missing != 2 || len(found.Lost) != 1 {
		t.Errorf("naming one at most: %+v, %v", found, err)
	}
	b.look.Limits.Stuck = time.Hour
	b.wants()
}

// Each of these places may hold what is under way.
func TestNothingIsMissingThatIsSomewhere(t *testing.T) {
	for name, place := range map[string]func(*bench){
		"in its queue":               func(b *bench) { b.put("sms.outbound", "m") },
		"in a transport's hand":      func(b *bench) { b.put("sms.outbound", "m"); b.hold("sms.outbound", 1) },
		"in the dead maxDeadLetters": func(b *bench) { b.put("sms.outbound.dead", "m") },
		"its ack is unrecorded":      func(b *bench) { b.put("persistence.keep", "its ack") },
		"its ack was dead-lettered":  func(b *bench) { b.put("persistence.keep.dead", "m") },
		"waiting to be retried":      func(b *bench) { b.delay("sms.outbound", "m") },
		"of another fleet":           func(b *bench) { b.look.Fleet.Connectors = []string{"app"} },
		"settled at second look":     func(b *bench) { b.look.Record = &changing{Finder: b.db, after: b.ack, looks: 2} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for _, queue := range []string{"sms.outbound.dead", "persistence.keep.dead"} {
				b.must(b.broker.Declare(t.Context(), broker.Queue{Name: queue}))
			}
			b.passed(store.Outbound, "m")
			b.wants("m")
			place(b)
			b.wants()
		})
	}
}

func (b *bench) delay(queue, id string) {
	b.must(b.broker.Publish(b.Context(), broker.Publication{Queue: queue, Body: b.message(id).Encode(), Delay: time.Hour}))
}

func (b *bench) ack() {
	b.record(store.Envelope{Backend: "sms", Event: message.NewAck(b.message("m"), "provider")})
}

// changing is a record that goes on after it has been looked at so often.
type changing struct {
	store.Finder
	looks int
	after func()
}

func (c *changing) Audit(ctx context.Context, l store.AuditLimits) (*store.Audit, error) {
	report, err := c.Finder.Audit(ctx, l)
	if c.looks--; c.looks == 0 {
		c.after()
	}
	return report, err
}

// A dead letter of another message does not account for this one.
func TestDeadLettersCountByName(t *testing.T) {
	b := newBench(t)
	for _, queue := range []string{"sms.outbound.dead", "sms.inbound.dead"} {
		b.must(b.broker.Declare(t.Context(), broker.Queue{Name: queue}))
	}
	b.passed(store.Outbound, "m", "n")
	b.put("sms.outbound.dead", "other", "n")
	b.put("sms.inbound.dead", "m") // an inbound message of the same ID
	if found := b.wants("m"); found.DeadLettered["n"] != "sms.outbound.dead" || len(found.DeadLettered) != 1 {
		t.Errorf("dead-lettered: %v", found.DeadLettered)
	}
}

func TestInboundMayBeAtAnyApplication(t *testing.T) {
	b := newBench(t)
	b.passed(store.Inbound, "m1", "m2", "m3")
	b.put("sms.inbound", "m1")
	b.put("app.inbound", "m2")
	b.wants("m1")
	b.put("sms.outbound", "no inbound message", "lies here")
	b.wants("m1")
	b.look.Fleet.Silent = true // then nobody can say
	b.wants()
	b.look.Fleet.Silent = false
	receipt := message.Receipt{MessageID: "m1", Application: "app", Outcome: message.ReceiptProcessed}
	b.must(b.broker.Publish(t.Context(), broker.Publication{Queue: "persistence.keep", Body: receipt.Encode()}))
	b.wants()
}
