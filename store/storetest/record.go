package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"switchboard/message"
	"switchboard/store"
)

// Ledger is all that a store which keeps the record can do.
type Ledger interface {
	store.Recorder
	store.Finder
	store.People
	store.Broadcasts
	store.Janitor
}

// RunRecord runs what the interfaces of the record promise on what open opens:
// an empty, migrated store, anew for each test, closed by the test's Cleanup.
func RunRecord(t *testing.T, open func(t *testing.T) Ledger) {
	for name, test := range map[string]func(*testing.T, Ledger){
		"a conversation":                        conversation,
		"any order, any batches, twice":         anyOrder,
		"recorders at once":                     recordersAtOnce,
		"events of one message at once":         eventsAtOnce,
		"an event before its message":           earlyEvent,
		"bad envelopes alone are rejected":      badEnvelopes,
		"any text is kept":                      anyText,
		"outbound states":                       outboundStates,
		"inbound states":                        inboundStates,
		"one message to two transports":         twoTransports,
		"one id inbound and outbound":           bothDirections,
		"absurd dates":                          absurdDates,
		"filters":                               filters,
		"pages and cursors":                     pages,
		"trace":                                 traces,
		"audit":                                 audits,
		"retention":                             retention,
		"contacts":                              contacts,
		"broadcast: from list to done":          broadcastLife,
		"broadcast: duplicates and opt-outs":    broadcastList,
		"broadcast: nobody":                     broadcastNobody,
		"broadcast: a list that breaks":         broadcastBroken,
		"broadcast: pause, resume, cancel":      broadcastControl,
		"broadcast: retries":                    broadcastRetries,
		"broadcast: a worker that dies":         broadcastDeath,
		"broadcast: schedule and throttle":      broadcastTimes,
		"broadcast: many workers, no one twice": broadcastWorkers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// base is when the tests' messages begin: not too long ago to be dated.
func base() time.Time { return time.Now().UTC().Add(-time.Hour).Truncate(time.Second) }

func at(minutes int) time.Time { return base().Add(time.Duration(minutes) * time.Minute) }

func inbound(id string, when time.Time) store.Envelope {
	m := message.New()
	m.ID, m.Timestamp, m.Content = id, when, "text of "+id
	m.From, m.To, m.TransportName = "+27831234567", "12345", "sms"
	return store.Envelope{Direction: store.Inbound, Backend: "sms", Message: m}
}

func outbound(id, replyTo string, when time.Time) store.Envelope {
	e := inbound(id, when)
	e.Direction, e.Application = store.Outbound, "app"
	e.Message.To, e.Message.From, e.Message.InReplyTo = e.Message.From, e.Message.To, replyTo
	return e
}

func event(about, id string, kind message.EventType, when time.Time) store.Envelope {
	e := &message.Event{ID: id, MessageID: about, Type: kind, Timestamp: when, TransportName: "sms"}
	return store.Envelope{Backend: "sms", Event: e}
}

func ack(about string, when time.Time) store.Envelope {
	e := event(about, "ack-"+about, message.Ack, when)
	e.Event.SentMessageID = "smsc-" + about
	return e
}

func nack(about, reason string, when time.Time) store.Envelope {
	e := event(about, "nack-"+about+reason, message.Nack, when)
	e.Event.NackReason = reason
	return e
}

func report(about string, status message.DeliveryStatus, when time.Time) store.Envelope {
	e := event(about, "dr-"+about+string(status), message.DeliveryReport, when)
	e.Event.DeliveryStatus = status
	return e
}

func receipt(about string, outcome store.Outcome, reason string, when time.Time) store.Envelope {
	return store.Envelope{Receipt: &store.Receipt{
		MessageID: about, Application: "app", Outcome: outcome, Reason: reason, Timestamp: when,
	}}
}

// record writes envelopes, none of which may be rejected.
func record(t *testing.T, db store.Recorder, batch ...store.Envelope) {
	t.Helper()
	rejected, err := db.Record(t.Context(), batch)
	if err != nil || len(rejected) > 0 {
		t.Fatalf("Record: %v, rejected %v", err, rejected)
	}
}

func list(t *testing.T, db store.Finder, f store.Filter) (records []store.Record) {
	t.Helper()
	for r, err := range db.Messages(t.Context(), f) {
		if err != nil {
			t.Fatalf("Messages(%+v): %v", f, err)
		}
		records = append(records, r)
	}
	return records
}

// find reads the one record of an id.
func find(t *testing.T, db store.Finder, id string) store.Record {
	t.Helper()
	trace, err := db.Trace(t.Context(), id)
	if err != nil {
		t.Fatalf("Trace(%q): %v", id, err)
	}
	for _, r := range trace.Records {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("Trace(%q) has no such record: %+v", id, trace.Records)
	return store.Record{}
}

var unstable = cmpopts.IgnoreFields(store.Record{}, "Updated", "Body")

func wantRecords(t *testing.T, got, want []store.Record) {
	t.Helper()
	if diff := cmp.Diff(want, got, unstable, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("records, -want +got:\n%s", diff)
	}
}

func theConversation() ([]store.Envelope, []store.Record) {
	begin := base()
	minute := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	in := store.Record{
		ID: "in", MessageID: "in", Direction: store.Inbound, Status: store.StatusProcessed, Fact: "processed",
		Backend: "sms", Address: "+27831234567", OwnAddress: "12345", Application: "app", Text: "text of in",
		Attempts: 1, Date: minute(0),
	}
	out := store.Record{
		ID: "out", MessageID: "out", Direction: store.Outbound, Status: store.StatusDelivered, Fact: "delivered",
		Backend: "sms", Address: "+27831234567", OwnAddress: "12345", Application: "app", Text: "text of out",
		InResponseTo: "in", ProviderID: "smsc-out", Attempts: 1, Date: minute(1), Sent: minute(2), Delivered: minute(4),
	}
	return []store.Envelope{
		inbound("in", minute(0)), outbound("out", "in", minute(1)), receipt("in", store.OutcomeProcessed, "", minute(1)),
		ack("out", minute(2)), report("out", message.Pending, minute(3)), report("out", message.Delivered, minute(4)),
	}, []store.Record{out, in}
}

func conversation(t *testing.T, db Ledger) {
	envelopes, want := theConversation()
	states := []string{"Q", "P Q", "P R", "S R", "S R", "D R"}
	states[1] = "P R" // the reply says that the inbound message was processed
	for i, e := range envelopes {
		record(t, db, e)
		var now []string
		for _, r := range list(t, db, store.Filter{}) {
			now = append(now, string(r.Status))
		}
		if got := strings.Join(now, " "); got != states[i] {
			t.Errorf("states after %d envelopes: %s, want %s", i+1, got, states[i])
		}
	}
	wantRecords(t, list(t, db, store.Filter{}), want)
	record(t, db)
}

func anyOrder(t *testing.T, db Ledger) {
	envelopes, want := theConversation()
	order := rand.New(rand.NewPCG(1, 2))
	for round := range 15 {
		twice := slices.Concat(rename(envelopes, round), rename(envelopes, round))
		order.Shuffle(len(twice), func(i, j int) { twice[i], twice[j] = twice[j], twice[i] })
		for len(twice) > 0 {
			n := 1 + order.IntN(len(twice))
			record(t, db, twice[:n]...)
			twice = twice[n:]
		}
		name := fmt.Sprint(round)
		var got []store.Record
		for _, r := range []string{"out" + name, "in" + name} {
			got = append(got, find(t, db, r))
		}
		wantRecords(t, got, renameRecords(want, name))
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if a, err := db.Audit(t.Context(), store.AuditLimits{}); err != nil || a.Orphan != 0 {
		t.Errorf("Audit = %+v, %v; want no event left without its message", a, err)
	}
}

// rename makes other messages of the same conversation.
func rename(envelopes []store.Envelope, round int) []store.Envelope {
	name := fmt.Sprint(round)
	renamed := slices.Clone(envelopes)
	for i := range renamed {
		switch e := &renamed[i]; {
		case e.Message != nil:
			e.Message = e.Message.Clone()
			e.Message.ID += name
			if e.Message.InReplyTo != "" {
				e.Message.InReplyTo += name
			}
		case e.Event != nil:
			e.Event = e.Event.Clone()
			e.Event.ID += name
			e.Event.MessageID += name
		case e.Receipt != nil:
			r := *e.Receipt
			r.MessageID += name
			e.Receipt = &r
		}
	}
	return renamed
}

func renameRecords(records []store.Record, name string) []store.Record {
	renamed := slices.Clone(records)
	for i := range renamed {
		r := &renamed[i]
		r.Text = strings.TrimSuffix(r.Text, name)
		r.ID, r.MessageID = r.ID+name, r.MessageID+name
		if r.InResponseTo != "" {
			r.InResponseTo += name
		}
	}
	return renamed
}

func recordersAtOnce(t *testing.T, db Ledger) {
	envelopes, want := theConversation()
	const conversations, recorders = 30, 4
	atOnce(t, recorders, func(worker int) error {
		order := rand.New(rand.NewPCG(uint64(worker), 7))
		var all []store.Envelope
		for n := range conversations {
			all = append(all, rename(envelopes, n)...)
		}
		order.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for len(all) > 0 {
			n := min(len(all), 1+order.IntN(50))
			rejected, err := db.Record(t.Context(), all[:n])
			if err != nil || len(rejected) > 0 {
				return fmt.Errorf("recording: %w, rejected %v", err, rejected)
			}
			all = all[n:]
		}
		return nil
	})
	for n := range conversations {
		name := fmt.Sprint(n)
		wantRecords(t, []store.Record{find(t, db, "out"+name), find(t, db, "in"+name)}, renameRecords(want, name))
	}
	if a, err := db.Audit(t.Context(), store.AuditLimits{}); err != nil || a.Orphan != 0 {
		t.Errorf("Audit = %+v, %v; want no event left without its message", a, err)
	}
}

// eventsAtOnce: an event and its message that are recorded at the same moment
// by two must find each other.
func eventsAtOnce(t *testing.T, db Ledger) {
	const rounds = 20
	for n := range rounds {
		id := fmt.Sprint("m", n)
		batches := []store.Envelope{outbound(id, "", at(0)), ack(id, at(1)), report(id, message.Delivered, at(2))}
		atOnce(t, len(batches), func(i int) error {
			_, err := db.Record(t.Context(), batches[i:i+1])
			return err
		})
		if r := find(t, db, id); r.Status != store.StatusDelivered || r.Sent.IsZero() || r.ProviderID == "" {
			t.Fatalf("round %d: %+v", n, r)
		}
	}
}

func earlyEvent(t *testing.T, db Ledger) {
	record(t, db, ack("m", at(1)), receipt("i", store.OutcomeErrored, "broken", at(1)))
	if a, err := db.Audit(t.Context(), store.AuditLimits{}); err != nil || a.Orphan != 2 {
		t.Errorf("Audit = %+v, %v; want 2 early events", a, err)
	}
	record(t, db, outbound("m", "", at(0)), inbound("i", at(0)))
	if r := find(t, db, "m"); r.Status != store.StatusSent || r.ProviderID != "smsc-m" {
		t.Errorf("message after its event: %+v", r)
	}
	if r := find(t, db, "i"); r.Status != store.StatusError || r.Reason != "broken" {
		t.Errorf("message after its receipt: %+v", r)
	}
}

func badEnvelopes(t *testing.T, db Ledger) {
	noID, noBackend, noDirection := inbound("", at(0)), inbound("b", at(0)), inbound("c", at(0))
	noBackend.Backend, noDirection.Direction = "", ""
	batch := []store.Envelope{
		inbound("good1", at(0)), noID, noBackend, noDirection,
		{},
		inbound(strings.Repeat("x", 5000), at(0)),
		event("", "e", message.Ack, at(0)), event("m", "e2", "odd", at(0)), receipt("m", "odd", "", at(0)), inbound("good2", at(0)),
	}
	rejected, err := db.Record(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	var indexes []int
	for _, r := range rejected {
		indexes = append(indexes, r.Index)
		if r.Err == nil {
			t.Errorf("envelope %d was rejected without a reason", r.Index)
		}
	}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 6, 7, 8}, indexes); diff != "" {
		t.Errorf("rejected, -want +got:\n%s", diff)
	}
	if got := list(t, db, store.Filter{}); len(got) != 2 {
		t.Errorf("written: %+v", got)
	}
}

func anyText(t *testing.T, db Ledger) {
	e := outbound("nul\x00id\xff", "", at(0))
	e.Message.Content = "a\x00b\xffc \u2603 \\ ' \U0001F600"
	e.Message.To = "a\x00\xfe"
	e.Body = []byte("{\x00\xff}")
	record(t, db, e, ack("nul\x00id\xff", at(1)), nack("nul\x00id\xff", "why\x00", at(1)))
	r := find(t, db, "nul\x00id\xff"[:0]+`nul\u0000id\xff`)
	if r.Text != `a\u0000b\xffc `+"\u2603 \\ ' \U0001F600" || r.Address != `a\u0000\xfe` || r.Status != store.StatusSent {
		t.Errorf("record: %+v", r)
	}
	if got := list(t, db, store.Filter{Address: "a\x00\xfe", Text: "\u2603"}); len(got) != 1 {
		t.Errorf("look-up by the address as it was: %+v", got)
	}
}

func outboundStates(t *testing.T, db Ledger) {
	failed := report("m", message.Failed, at(5))
	failed.Event.SetExtra("failure_code", "EXPIRED")
	failed.Event.SetExtra("failure_reason", "it expired")
	steps := []struct {
		envelope store.Envelope
		want     store.Status
		reason   string
	}{
		{outbound("m", "", at(0)), store.StatusPassing, ""},
		{nack("m", "throttled", at(1)), store.StatusError, "throttled"},
		{outbound("m", "", at(0)), store.StatusError, "throttled"},
		{ack("m", at(2)), store.StatusSent, ""}, // a retry of the transport healed it
		{nack("m", "late", at(3)), store.StatusSent, ""},
		{report("m", message.Pending, at(4)), store.StatusSent, ""},
		{failed, store.StatusError, "EXPIRED: it expired"},
		{report("m", message.Pending, at(6)), store.StatusError, "EXPIRED: it expired"},
		{report("m", message.Delivered, at(7)), store.StatusDelivered, ""},
		{nack("m", "much too late", at(8)), store.StatusDelivered, ""},
	}
	for i, step := range steps {
		record(t, db, step.envelope)
		if r := find(t, db, "m"); r.Status != step.want || r.Reason != step.reason {
			t.Errorf("step %d: %s %q, want %s %q", i, r.Status, r.Reason, step.want, step.reason)
		}
	}
	trace, err := db.Trace(t.Context(), "smsc-m")
	if err != nil || len(trace.Steps) != 8 { // the message and seven different events
		t.Errorf("Trace by the provider's id = %+v, %v", trace, err)
	}
	wordless := nack("n", "", at(1))
	record(t, db, outbound("n", "", at(0)), wordless)
	if r := find(t, db, "n"); r.Status != store.StatusError || r.Reason == "" {
		t.Errorf("E without a reason: %+v", r)
	}
}

func inboundStates(t *testing.T, db Ledger) {
	for _, c := range []struct {
		name   string
		after  []store.Envelope
		want   store.Status
		reason string
	}{
		{"processed", []store.Envelope{receipt("x", store.OutcomeProcessed, "", at(1))}, store.StatusProcessed, ""},
		{"errored", []store.Envelope{receipt("x", store.OutcomeErrored, "panic", at(1))}, store.StatusError, "panic"},
		{"replied", []store.Envelope{outbound("r1", "x", at(1))}, store.StatusProcessed, ""},
		{"replied, then errored", []store.Envelope{outbound("r2", "x", at(1)), receipt("x", store.OutcomeErrored, "2nd", at(2))}, store.StatusError, "2nd"},
		{"errored, then again and well", []store.Envelope{receipt("x", store.OutcomeErrored, "", at(1)), receipt("x", store.OutcomeProcessed, "", at(2))}, store.StatusProcessed, ""},
	} {
		id := "in " + c.name
		record(t, db, inbound(id, at(0)))
		for _, e := range c.after {
			if e.Receipt != nil {
				e.Receipt.MessageID = id
			} else {
				e.Message.InReplyTo = id
			}
			record(t, db, e)
		}
		if r := find(t, db, id); r.Status != c.want || r.Reason != c.reason {
			t.Errorf("%s: %s %q, want %s %q", c.name, r.Status, r.Reason, c.want, c.reason)
		}
	}
}

func twoTransports(t *testing.T, db Ledger) {
	one, two := outbound("m", "", at(0)), outbound("m", "", at(0))
	two.Backend = "ussd"
	failed := nack("m", "no", at(1))
	failed.Backend = "ussd"
	record(t, db, one, two, ack("m", at(1)), failed)
	got := map[string]store.Status{}
	for _, r := range list(t, db, store.Filter{}) {
		got[r.Backend] = r.Status
	}
	if diff := cmp.Diff(map[string]store.Status{"sms": store.StatusSent, "ussd": store.StatusError}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func bothDirections(t *testing.T, db Ledger) {
	record(t, db, inbound("m", at(0)), outbound("m", "", at(0)), ack("m", at(1)), receipt("m", store.OutcomeProcessed, "", at(1)))
	var got []string
	for _, r := range list(t, db, store.Filter{}) {
		got = append(got, string(r.Direction)+string(r.Status))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"IR", "OS"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func absurdDates(t *testing.T, db Ledger) {
	for _, year := range []int{1900, 1999, 2500, 9999} {
		id := fmt.Sprint("m", year)
		when := time.Date(year, 5, 6, 7, 8, 9, 0, time.UTC)
		record(t, db, outbound(id, "", when), ack(id, when))
		record(t, db, outbound(id, "", when), report(id, message.Delivered, at(0)))
		if r := find(t, db, id); r.Status != store.StatusDelivered || !r.Date.Equal(when) {
			t.Errorf("%d: %+v", year, r)
		}
	}
	if got := list(t, db, store.Filter{}); len(got) != 4 {
		t.Errorf("%d records, want 4", len(got))
	}
	months := []int{0, -1, -2, -23}
	for _, back := range months {
		id := fmt.Sprint("back", back)
		record(t, db, outbound(id, "", time.Now().AddDate(0, back, 0)), ack(id, time.Now()))
		if r := find(t, db, id); r.Status != store.StatusSent {
			t.Errorf("%d months back: %+v", back, r)
		}
	}
}
