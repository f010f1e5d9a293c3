package persistence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/worker"
)

func conversation(b *bench) {
	b.start(b.worker(), b.db)
	in := b.inbound("question")
	in.TransportMetadata.Set("external_id", "abc")
	b.publishMessage(message.Inbound, in)
	if r := b.awaitState(in, store.StatusQueued); r.Missing() == "" || r.ProviderID != "abc" {
		b.Errorf("received: %+v", r)
	}
	out := b.reply(in, "answer")
	b.publishMessage(message.Outbound, out)
	if r := b.awaitState(out, store.StatusPassing); r.InResponseTo != in.ID || r.Application != b.app {
		b.Errorf("the reply answers %s, from application %s", r.InResponseTo, r.Application)
	}
	b.awaitState(in, store.StatusProcessed)
	b.publish(message.ReceiptKey(b.app), b.receipt(in, message.ReceiptProcessed, ""))
	b.publishEvent(message.NewAck(out, "provider-1"))
	if r := b.awaitState(out, store.StatusSent); r.ProviderID != "provider-1" || r.Sent.IsZero() {
		b.Errorf("sent: %+v", r)
	}
	b.publishEvent(message.NewDeliveryReport(out, message.Delivered))
	if r := b.awaitState(out, store.StatusDelivered); r.Delivered.IsZero() || r.Missing() != "" {
		b.Errorf("delivered: %+v", r)
	}
	other := b.inbound("other")
	b.publish(message.ReceiptKey(b.app), b.receipt(other, message.ReceiptErrored, "it broke"))
	b.publishMessage(message.Inbound, other)
	if r := b.awaitState(other, store.StatusError); r.Reason != "it broke" {
		b.Errorf("the reason of the error is %q", r.Reason)
	}
	audit, err := b.db.Audit(b.Context(), store.AuditLimits{})
	b.must(err)
	if audit.Orphan != 0 || len(audit.Stuck) != 0 {
		b.Errorf("audit: %+v", audit)
	}
}

// What an operator pauses is not recorded until it is resumed.
func paused(b *bench) {
	p := b.worker()
	queue := persistence.RecordQueue(p.Name)
	b.pauses = worker.FollowPauses(b.Context(), b.db, slog.New(slog.DiscardHandler))
	b.start(p, b.db)
	consumers := func(want int) {
		b.Helper()
		b.await(fmt.Sprint("consumers: ", want), func() bool {
			info, err := b.broker.Inspect(b.Context(), queue)
			return err == nil && info.Consumers == want
		})
	}
	b.must(worker.SetPause(b.Context(), b.db, queue, worker.Pause{}))
	b.must(b.pauses.Look(b.Context()))
	consumers(0)
	in := b.inbound("question")
	b.publishMessage(message.Inbound, in)
	if info, err := b.broker.Inspect(b.Context(), queue); err != nil || info.Messages != 1 {
		b.Errorf("while it is paused: %+v, %v", info, err)
	}
	b.must(worker.Resume(b.Context(), b.db, queue))
	b.must(b.pauses.Look(b.Context()))
	consumers(1)
	b.awaitState(in, store.StatusQueued)
}

// Whatever comes first and however often, the result is the same.
func anyOrder(b *bench) {
	b.start(b.worker(), b.db)
	in := b.inbound("question")
	out := b.reply(in, "answer")
	ack, report := message.NewAck(out, "p1"), message.NewDeliveryReport(out, message.Delivered)
	for range 2 {
		b.publishEvent(report)
		b.publishEvent(ack)
		b.publish(message.ReceiptKey(b.app), b.receipt(in, message.ReceiptProcessed, ""))
		b.publishMessage(message.Outbound, out)
		b.publishMessage(message.Inbound, in)
	}
	last := b.inbound("last")
	b.publishMessage(message.Inbound, last)
	b.awaitState(last, store.StatusQueued)
	b.awaitState(in, store.StatusProcessed)
	b.awaitState(out, store.StatusDelivered)
	if n := b.recorded(); n != 3 {
		b.Errorf("%d messages are recorded, want 3", n)
	}
	trace, err := b.db.Trace(b.Context(), in.ID)
	b.must(err)
	if len(trace.Records) != 2 || len(trace.Steps) != 5 {
		b.Errorf("%d records and %d steps, want 2 and 5: %+v", len(trace.Records), len(trace.Steps), trace.Steps)
	}
}

// A dispatcher that lets a message go on purpose says so on the transport's
// connector: nobody is waited for then.
func settle(b *bench) {
	b.start(b.worker(), b.db)
	in := b.inbound("again")
	b.publishMessage(message.Inbound, in)
	receipt := message.Receipt{
		MessageID: in.ID, Outcome: message.ReceiptProcessed, Reason: "let go on purpose: said before", Timestamp: message.FormatTime(time.Now()),
	}
	b.publish(message.ReceiptKey(b.sms), receipt.Encode())
	if r := b.awaitState(in, store.StatusProcessed); r.Reason != receipt.Reason || r.Application != "" {
		b.Errorf("recorded: %+v", r)
	}
}

func badBodies(b *bench) {
	b.start(b.worker(), b.db)
	var good []*message.Message
	for range 20 {
		good = append(good, b.inbound("good"))
	}
	long := b.inbound("an address that no database takes")
	long.From = strings.Repeat("x", 5000)
	for i, m := range good {
		switch i {
		case 3:
			b.publish(message.Key(b.sms, message.Inbound), []byte("no message"))
		case 7:
			b.publishMessage(message.Inbound, long)
		case 11:
			b.publish(message.ReceiptKey(b.app), []byte(`{"message_id": "x", "outcome": "perhaps"}`))
		}
		b.publishMessage(message.Inbound, m)
	}
	for _, m := range good {
		b.awaitState(m, store.StatusQueued)
	}
	b.await("three bodies are dead-lettered", func() bool { return len(b.dead()) == 3 })
	reasons := map[string]int{}
	for _, d := range b.dead() {
		reasons[d.Headers[worker.HeaderReason]]++
		if d.Headers[worker.HeaderError] == "" || d.Headers[worker.HeaderKey] == "" {
			b.Errorf("dead-lettered without a word: %v", d.Headers)
		}
	}
	if reasons[worker.ReasonInvalid] != 2 || reasons[worker.ReasonPermanent] != 1 {
		b.Errorf("reasons: %v", reasons)
	}
	if n := b.recorded(); n != len(good) {
		b.Errorf("%d of %d good messages are recorded", n, len(good))
	}
}

// With its transport's country a national number is the same as the international one.
func country(b *bench) {
	p := b.worker()
	p.Countries = options.Map[string]{{Key: b.sms, Value: "ZA"}}
	b.start(p, b.db)
	m := b.inbound("from home")
	m.From = "0831234567"
	b.publishMessage(message.Inbound, m)
	b.awaitState(m, store.StatusQueued)
	found := 0
	for _, err := range b.db.Messages(b.Context(), store.Filter{Address: "+27831234567"}) {
		b.must(err)
		found++
	}
	if found != 1 {
		b.Errorf("the international number finds %d messages, want 1", found)
	}
	p.Countries = options.Map[string]{{Key: b.sms, Value: "Zululand"}, {Key: "nosuch", Value: "ZA"}}
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "Zululand") || !strings.Contains(err.Error(), "nosuch") {
		b.Errorf("wrong countries: %v", err)
	}
}

// A failed message is sent again as its next attempt; one that has not failed is not.
func resend(b *bench) {
	b.start(b.worker(), b.db)
	b.must(b.broker.Declare(b.Context(), broker.Queue{Name: b.sms + ".outbound", Keys: []string{b.sms + ".outbound"}}))
	m := b.reply(b.inbound("hi"), "hello")
	b.publishMessage(message.Outbound, m)
	b.awaitState(m, store.StatusPassing)
	if err := persistence.Resend(b.Context(), b.db, b.broker, m.ID); err == nil {
		b.Error("a message was sent again while its transport had it")
	}
	b.publishEvent(message.NewNack(m, "congested"))
	b.awaitState(m, store.StatusError)
	b.must(persistence.Resend(b.Context(), b.db, b.broker, m.ID))
	if r := b.awaitState(m, store.StatusPassing); r.Attempts != 2 {
		b.Errorf("sent again: %+v", r)
	}
	var again *message.Message
	b.must(b.broker.Browse(b.Context(), b.sms+".outbound", 10, func(d *broker.Delivery) (_ broker.Verdict, err error) {
		again, err = message.Decode(d.Body)
		return broker.Keep, err
	}))
	if again.ID != m.ID || store.Attempt(again) != 2 || message.Application(&again.RoutingMetadata) != b.app {
		b.Errorf("published: %+v, attempt %d", again, store.Attempt(again))
	}
	b.publishEvent(message.NewAck(again, "smsc-2"))
	b.awaitState(m, store.StatusSent)
	if err := persistence.Resend(b.Context(), b.db, b.broker, "nosuch"); !errors.Is(err, store.ErrNotFound) {
		b.Errorf("sending none again: %v", err)
	}
}

// What a dispatcher refused is on no transport's connector: its receipt has the message.
func refused(b *bench) {
	b.start(b.worker(), b.db)
	for _, transport := range []string{b.sms, "pigeon" + b.id, ""} {
		m := message.New()
		m.To, m.TransportName, m.Content = "+27831234567", transport, "stop"
		r := message.Receipt{
			MessageID: m.ID, Application: b.app, Outcome: message.ReceiptRefused, Reason: "no route",
			Timestamp: message.FormatTime(time.Now()), Message: m.Encode(),
		}
		b.publish(message.ReceiptKey(b.app), r.Encode())
		found := b.awaitState(m, store.StatusError)
		if found.Reason != "no route" || found.Application != b.app || found.Address != m.To || found.Text != "stop" {
			b.Errorf("recorded: %+v", found)
		}
		if transport != "" && found.Backend != transport || transport == "" && found.Backend != "none" {
			b.Errorf("recorded on transport %q, want %q", found.Backend, transport)
		}
	}
}

// Text that no database takes as it is: NUL, and bytes that are no UTF-8
// between the quotes of good JSON. All of it is recorded, escaped, in every kind
// of body, and nothing is dead-lettered.
func anyText(b *bench) {
	b.start(b.worker(), b.db)
	broken := func(body []byte) []byte { return bytes.ReplaceAll(body, []byte("BROKEN"), []byte("caf\xe9 \xff\xfe")) }
	const text = `a\u0000b caf\xe9 \xff\xfe c`
	in := b.inbound("a\x00b BROKEN c")
	out := b.reply(in, in.Content)
	nack := message.NewNack(out, in.Content)
	nack.TransportName = b.sms
	b.publish(message.Key(b.sms, message.Inbound), broken(in.Encode()))
	b.publish(message.Key(b.sms, message.Outbound), broken(out.Encode()))
	b.publish(message.Key(b.sms, message.EventFlow), broken(nack.Encode()))
	b.publish(message.ReceiptKey(b.app), broken(b.receipt(in, message.ReceiptErrored, in.Content)))
	for _, m := range []*message.Message{in, out} {
		r := b.awaitState(m, store.StatusError)
		if r.Text != text || r.Reason != text {
			b.Errorf("recorded as %q because of %q, want %q", r.Text, r.Reason, text)
		}
		if !strings.Contains(r.Body, `caf\xe9 \xff\xfe`) {
			b.Errorf("the body has become %q", r.Body)
		}
	}
	for _, search := range []string{text, `A\u0000B`, "a\x00b caf\xe9"} {
		n := 0
		for _, err := range b.db.Messages(b.Context(), store.Filter{Text: search}) {
			b.must(err)
			n++
		}
		if n != 2 {
			b.Errorf("searching for %q finds %d, want 2", search, n)
		}
	}
	// What is broken elsewhere is no message.
	b.publish(message.Key(b.sms, message.Inbound), []byte("{\xff}"))
	b.await("what is no JSON is dead-lettered", func() bool { return len(b.dead()) > 0 })
	if dead := b.dead(); len(dead) != 1 || string(dead[0].Body) != "{\xff}" {
		b.Errorf("%d are dead-lettered, the first %q", len(dead), dead[0].Body)
	}
}

// spy notes how large the batches are, and fails while told to.
type spy struct {
	store.Database
	mu      sync.Mutex
	batches []int
	broken  bool
	failed  chan struct{} // gets a token at each failure
}

func newSpy(db store.Database) *spy { return &spy{Database: db, failed: make(chan struct{}, 100)} }

func (s *spy) Record(ctx context.Context, batch []store.Envelope) ([]store.Rejected, error) {
	s.mu.Lock()
	broken := s.broken
	if !broken {
		s.batches = append(s.batches, len(batch))
	}
	s.mu.Unlock()
	if broken {
		s.failed <- struct{}{}
		return nil, errors.New("the database is away")
	}
	return s.Database.Record(ctx, batch)
}

func (s *spy) breaks(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

func (s *spy) sizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.batches...)
}

// gathers has a first batch wait for the database while n more bodies come, and returns how
// large the batches are.
func (b *bench) gathers(p *persistence.Persistence, n int, text string) []int {
	b.Helper()
	db := newSpy(b.db)
	db.breaks(true)
	stop := b.start(p, db)
	b.publishMessage(message.Inbound, b.inbound("the first"))
	<-db.failed
	for range n {
		b.publishMessage(message.Inbound, b.inbound(text))
	}
	b.await("all are in flight", func() bool { return b.monitor.Held()[persistence.RecordQueue(p.Name)] == int64(n+1) })
	db.breaks(false)
	b.await("all are written", func() bool { return b.recorded() == n+1 })
	stop()
	return db.sizes()
}

// What comes while a batch is written is the next one, up to its limits.
func bySize(b *bench) {
	p := b.worker()
	p.RecordBatch = 10
	if sizes := b.gathers(p, 25, "one of many"); !slices.Equal(sizes, []int{1, 10, 10, 5}) {
		b.Errorf("they were written in batches of %v", sizes)
	}
}

func byBytes(b *bench) {
	if sizes := b.gathers(b.worker(), 4, strings.Repeat("x", 600_000)); !slices.Equal(sizes, []int{1, 2, 2}) {
		b.Errorf("they were written in batches of %v", sizes)
	}
}

// A body that is larger than any worker takes is dead-lettered with its size.
func overLimit(b *bench) {
	b.start(b.worker(), b.db)
	m := b.inbound(strings.Repeat("x", 1<<20))
	b.publishMessage(message.Inbound, m)
	next := b.inbound("the next one")
	b.publishMessage(message.Inbound, next)
	b.awaitState(next, store.StatusQueued)
	b.await("it is dead-lettered", func() bool { return len(b.dead()) == 1 })
	d := b.dead()[0]
	if text := d.Headers[worker.HeaderError]; !strings.Contains(text, strconv.Itoa(len(d.Body))) {
		b.Errorf("its size is not told: %q", text)
	}
}

// The queue keeps what a failing database does not take.
func failing(b *bench) {
	p, db := b.worker(), newSpy(b.db)
	p.RecordBatch = 10
	db.breaks(true)
	b.start(p, db)
	for range 100 {
		b.publishMessage(message.Inbound, b.inbound("patient"))
	}
	<-db.failed
	<-db.failed
	if n := b.recorded(); n != 0 {
		b.Errorf("%d messages are recorded already", n)
	}
	b.await("it says that the database is down", func() bool { return b.database().Health == message.Down })
	if held := b.monitor.Held()[persistence.RecordQueue("p"+b.id)]; held == 0 {
		b.Errorf("it says that it holds nothing")
	}
	if reason := b.database().Reason; reason != "the database is away" {
		b.Errorf("it says %q", reason)
	}
	db.breaks(false)
	b.await("all are written", func() bool { return b.recorded() == 100 })
	b.await("it says that the database is back", func() bool { return b.database().Health == message.OK })
	if dead := b.dead(); len(dead) > 0 {
		b.Errorf("%d are dead-lettered", len(dead))
	}
}

// What could not be written when the worker stops returns to its queue.
func stoppedWhileFailing(b *bench) {
	p, db := b.worker(), newSpy(b.db)
	p.StopTimeout = options.Duration(50 * time.Millisecond)
	db.breaks(true)
	stop := b.start(p, db)
	for range 100 {
		b.publishMessage(message.Inbound, b.inbound("patient"))
	}
	<-db.failed
	stop()
	b.await("all are back in the queue", func() bool { return b.waiting(persistence.RecordQueue(p.Name)) == 100 })
	b.start(b.worker(), b.db)
	b.await("all are written", func() bool { return b.recorded() == 100 })
}
