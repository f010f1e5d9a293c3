package storetest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"switchboard/message"
	"switchboard/store"
)

// Ledger is a store with a record.
type Ledger interface {
	store.Recorder
	store.Finder
	store.People
	store.Broadcasts
	store.Retention
}

// RunRecord tests the interfaces of the record. open returns an empty, migrated store for each
// test, which the test's Cleanup closes.
func RunRecord(t *testing.T, open func(t *testing.T) Ledger) {
	for name, test := range map[string]func(*testing.T, Ledger){
		"a conversation":                        conversation,
		"any order, any batches, twice":         anyOrder,
		"recorders at once":                     recordersAtOnce,
		"events of one message at once":         eventsAtOnce,
		"an event before its message":           earlyEvent,
		"one event_id for all":                  sharedEventIDs,
		"bad envelopes alone are rejected":      badEnvelopes,
		"any text is kept":                      anyText,
		"refused by a dispatcher":               notHandedOver,
		"deleted by an operator":                deleted,
		"one number in any spelling":            oneNumber,
		"ids of any length":                     longIDs,
		"outbound states":                       outboundStates,
		"inbound states":                        inboundStates,
		"one message to two transports":         twoTransports,
		"one id inbound and outbound":           bothDirections,
		"absurd dates":                          absurdDates,
		"filters":                               filters,
		"pages and cursors":                     pages,
		"trace":                                 traces,
		"trace: a broadcast and its retries":    traceBroadcast,
		"trace: a sender nobody knows":          traceUnknown,
		"trace: of nothing":                     traceNothing,
		"audit":                                 audits,
		"audit: more than it names":             auditsMany,
		"audit: of some time":                   auditSince,
		"audit: due delivery reports":           unreported,
		"retention":                             retention,
		"contacts":                              contacts,
		"broadcast: from list to done":          broadcastLife,
		"broadcast: duplicates and opt-outs":    broadcastList,
		"broadcast: nobody":                     broadcastNobody,
		"broadcast: a list that breaks":         broadcastBroken,
		"broadcast: one of a key":               broadcastOnce,
		"broadcast: pause, resume, cancel":      broadcastControl,
		"broadcast: retries":                    broadcastRetries,
		"broadcast: a worker that dies":         broadcastDeath,
		"broadcast: schedule and throttle":      broadcastTimes,
		"broadcast: many workers, no one twice": broadcastWorkers,
		"broadcast: opting out later":           optOutLater,
		"broadcast: late words of an attempt":   lateAttempt,
		"broadcast: names of attempts":          providersOfAttempts,
		"broadcast: a late failure":             lateFailure,
		"broadcast: a late arrival":             lateArrival,
		"broadcast: another database's":         broadcastElsewhere,
		"broadcast: small beside large":         broadcastShares,
		"broadcast: many that wait":             broadcastsWaiting,
		"broadcast: two hands on a batch":       broadcastFence,
		"broadcast: retries of half a batch":    broadcastHalf,
		"broadcast: tasks not published":        broadcastRelease,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// base is the time of the first message: one for the whole run, recent enough to be dated.
var base = sync.OnceValue(func() time.Time { return time.Now().UTC().Add(-time.Hour).Truncate(time.Second) })

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
		ID: "in", MessageID: "in", Direction: store.Inbound, Status: store.StatusProcessed, Progress: "processed",
		Backend: "sms", Address: "+27831234567", OwnAddress: "12345", Application: "app", Text: "text of in",
		Attempts: 1, Date: minute(0),
	}
	out := store.Record{
		ID: "out", MessageID: "out", Direction: store.Outbound, Status: store.StatusDelivered, Progress: "delivered",
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
	longAddress := inbound("d", at(0))
	longAddress.Message.From = strings.Repeat("x", 5000)
	batch := []store.Envelope{
		inbound("good1", at(0)), noID, noBackend, noDirection,
		{},
		longAddress,
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

// notHandedOver: what a dispatcher refused is E with the reason, until it is handed over
// after all, in any order.
func notHandedOver(t *testing.T, db Ledger) {
	refused := func(id string) store.Envelope {
		e := outbound(id, "", at(0))
		e.Refused = "opted out"
		return e
	}
	record(t, db, refused("never"), refused("replayed"))
	if r := find(t, db, "never"); r.Status != store.StatusError || r.Reason != "opted out" || r.Progress != "not handed over" {
		t.Errorf("refused: %+v", r)
	}
	record(t, db, outbound("replayed", "", at(0)), outbound("first", "", at(0)))
	record(t, db, refused("first"), refused("never"))
	for id, want := range map[string]store.Status{"replayed": store.StatusPassing, "first": store.StatusPassing, "never": store.StatusError} {
		if r := find(t, db, id); r.Status != want {
			t.Errorf("%s: %+v, want %s", id, r, want)
		}
	}
}

// deleted: what an operator deletes from a transport's queue is E, and not tried again; what
// was answered before, or is after all, is not.
func deleted(t *testing.T, db Ledger) {
	gone := func(id string) store.Envelope {
		return store.Envelope{Receipt: &store.Receipt{MessageID: id, Outcome: store.OutcomeDeleted, Reason: "cleared", Timestamp: at(5)}}
	}
	record(t, db, outbound("waits", "", at(0)), outbound("refused", "", at(0)), nack("refused", "no such number", at(1)),
		outbound("late", "", at(0)), gone("waits"), gone("refused"), gone("late"), gone("waits"))
	record(t, db, ack("late", at(6)))
	for id, want := range map[string]string{"waits": "E cleared", "refused": "E no such number", "late": "S "} {
		if r := find(t, db, id); string(r.Status)+" "+r.Reason != want {
			t.Errorf("%s: %+v, want %s", id, r, want)
		}
	}
	made := create(t, db, store.Broadcast{Text: "x", RetryAfter: time.Nanosecond}, recipients(1))
	deliver(t, db, func(h *store.Handover) []store.Envelope { return []store.Envelope{gone(h.ID)} })
	dueNow(t, db)
	if i := info(t, db, made.ID); i.State != store.BroadcastDone || i.Error != 1 {
		t.Errorf("the broadcast whose message was deleted: %+v", i)
	}
}

// longIDs: ids of any length are recorded and found, and distinguished by all of their text.
func longIDs(t *testing.T, db Ledger) {
	one, two := strings.Repeat("é", 3000)+"1", strings.Repeat("é", 3000)+"2"
	answer := outbound("reply", one, at(2))
	record(t, db, inbound(one, at(0)), outbound(two, "", at(1)), answer, ack(two, at(3)), nack("none", "x", at(4)))
	for id, want := range map[string]store.Status{one: store.StatusProcessed, two: store.StatusSent} {
		trace, err := db.Trace(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if r := trace.Records[0]; r.Status != want || len(r.ID) > 255 {
			t.Errorf("…%s: %+v, want %s", id[len(id)-1:], r, want)
		}
	}
	if trace, err := db.Trace(t.Context(), "smsc-"+two); err != nil || trace.Records[0].Status != store.StatusSent {
		t.Errorf("by the provider's long id: %v", err)
	}
}

func anyText(t *testing.T, db Ledger) {
	e := outbound("nul\x00id\xff", "", at(0))
	e.Message.Content = "a\x00b\xffc \u2603 \\ ' \U0001F600"
	e.Message.To = "a\x00\xfe"
	e.Body = []byte("{\x00\xff}")
	record(t, db, e, ack("nul\x00id\xff", at(1)), nack("nul\x00id\xff", "why\x00", at(1)))
	r := find(t, db, `nul\u0000id\xff`)
	if r.Text != `a\u0000b\xffc `+"\u2603 \\ ' \U0001F600" || r.Address != `a\u0000\xfe` || r.Status != store.StatusSent {
		t.Errorf("record: %+v", r)
	}
	if full := find(t, db, `nul\u0000id\xff`); full.Body != `{\u0000\xff}` {
		t.Errorf("the body became %q", full.Body)
	}
	for _, f := range []store.Filter{
		{Address: "a\x00\xfe", Text: "\u2603"},
		{Address: `a\u0000\xfe`},
		{Text: "a\x00b\xffc"},
		{Text: `A\u0000B\xff`},
		{Text: "\\ ' \U0001F600"},
	} {
		if got := list(t, db, f); len(got) != 1 {
			t.Errorf("looking for %q from %q finds %d", f.Text, f.Address, len(got))
		}
	}
	trace, err := db.Trace(t.Context(), "nul\x00id\xff")
	if err != nil || len(trace.Steps) != 3 {
		t.Fatalf("the trace by the id as it was: %+v, %v", trace, err)
	}
	if why := trace.Steps[2].Event.Reason; why != `why\u0000` && trace.Steps[1].Event.Reason != `why\u0000` {
		t.Errorf("the nack's reason became %q", why)
	}
}
