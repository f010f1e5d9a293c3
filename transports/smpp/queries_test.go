package smpp

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/store/sqlite"
	"switchboard/transports/smpp/submissions"
	"switchboard/transports/transporttest"
)

func lostReceipts() *simulator.Receipts { return &simulator.Receipts{Lost: 1} }

func asking(o *Transport) { o.QueryAfter = quick }

// queried is how many query_sm the SMSC got.
func queried(v *simulator.SMSC) uint64 { return v.Counters().Received["query_sm"] }

// awaitQueries waits until the SMSC got as many.
func (b *bundle) awaitQueries(n uint64) {
	b.Helper()
	err := b.smsc.Wait(within(b), fmt.Sprint(n, " query_sm"), func(c simulator.Counters) bool { return c.Received["query_sm"] >= n })
	if err != nil {
		b.Fatal(err)
	}
}

// Where no receipt comes, the SMSC's answer to query_sm says the same.
func TestLostReceiptsAreAskedFor(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		IDs:      &simulator.IDs{Format: "upper_hex", Width: 8, Start: 0xBEEF},
		Receipts: lostReceipts(), Rules: []simulator.Rule{{Text: simulator.Matching("bad"), Outcome: &simulator.Outcome{State: "UNDELIV", Error: "034"}}},
	}}, asking)
	good, bad, long := outgoing("good"), outgoing("bad"), outgoing(strings.Repeat("0123456789", 31))
	want := map[string]message.DeliveryStatus{good.ID: message.Delivered, bad.ID: message.Failed, long.ID: message.Delivered}
	for _, m := range []*message.Message{good, bad, long} {
		b.send(m)
	}
	for range 3 {
		e := b.line.NextEvent(t)
		if e.DeliveryStatus != want[e.MessageID] || e.TransportMetadata.Text("smpp_matched_by") != "query" ||
			e.TransportMetadata.Text("smpp_done_date") == "" || e.RoutingMetadata.Text("switchboard_exposed") != "app" {
			t.Errorf("event = %s", e.Encode())
		}
		extra := e.Extra()
		if e.MessageID == bad.ID && extra.Text("failure_code") != "34" {
			t.Errorf("event = %s, want the network's error", e.Encode())
		}
		delete(want, e.MessageID)
	}
	b.until("nothing is left to be asked", func() bool { return len(b.inquiries()) == 0 })
	if n := queried(b.smsc); n != 5 { // a question a segment
		t.Errorf("%d query_sm, want 5", n)
	}
}

// inquiries are those in the state.
func (b *bundle) inquiries() []store.Entry {
	b.Helper()
	list, err := memoryOf(b.state).Range(b.Context(), "smpp/smpp_transport/ask/", "smpp/smpp_transport/ask0", 1000)
	if err != nil {
		b.Fatal(err)
	}
	return list
}

// What was sent before a restart is asked about after it, once, by one of two
// replicas.
func TestInquiriesSurvive(t *testing.T) {
	for name, open := range map[string]func(*testing.T) store.State{
		"memory": func(t *testing.T) store.State { return remember(t) },
		"sqlite": func(t *testing.T) store.State {
			db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return db
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: lostReceipts()}})
			state := open(t)
			first := connected(t, v.Addr(), state, nil, func(o *Transport) { o.QueryAfter = 10 * quick })
			stop := transporttest.Start(t, first, transporttest.NewPublisher())
			m := outgoing("hello")
			if _, err := first.Send(within(t), m); err != nil {
				t.Fatal(err)
			}
			stop()
			line := transporttest.NewPublisher()
			for range 2 {
				transporttest.Start(t, connected(t, v.Addr(), state, nil, asking), line)
			}
			if e := line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
				t.Errorf("event = %s", e.Encode())
			}
			if n := queried(v); n != 1 {
				t.Errorf("%d query_sm, want one", n)
			}
		})
	}
}

// Those whose final receipt came, and those nobody wants to know of, are
// not asked about.
func TestWhatIsKnownIsNotAsked(t *testing.T) {
	b := start(t, simulator.Settings{}, asking)
	b.send(outgoing("reported"))
	b.line.NextEvent(t)
	silent := outgoing("no receipt")
	silent.TransportMetadata.Set("registered_delivery", false)
	b.send(silent)
	b.until("nothing is left to be asked", func() bool { return len(b.inquiries()) == 0 })
	if n := queried(b.smsc); n != 0 {
		t.Errorf("%d query_sm, want none", n)
	}
}

// A message that is in flight is asked about again, and what is not answered does
// not hold up the window.
func TestAskedAgain(t *testing.T) {
	inFlight := []simulator.Rule{{Text: simulator.Matching("in flight"), Outcome: &simulator.Outcome{State: "ACCEPTD"}}}
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: lostReceipts(), Rules: inFlight}}, asking,
		func(o *Transport) { o.Window, o.SubmitTimeout = 1, quick })
	b.send(outgoing("in flight"))
	b.awaitQueries(2)
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: lostReceipts(), Queries: &simulator.Queries{Lost: 1}})
	b.until("a question goes unanswered", func() bool { return b.metric("switchboard_smpp_queries_total", "outcome", "unanswered") > 0 })
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: lostReceipts()})
	m := outgoing("the window is free")
	b.send(m)
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
	if n := b.metric("switchboard_smpp_queries_total", "outcome", "pending"); n < 2 {
		t.Errorf("%v answers said that it is in flight, want two", n)
	}
}

// An SMSC that does not say, or cannot, is let be.
func TestRefusedQueries(t *testing.T) {
	for status, most := range map[pdu.Status]uint64{pdu.StatusQueryFail: submissions.MaxRefusals, pdu.StatusInvCmdID: queriesAtOnce} {
		t.Run(status.String(), func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
				Receipts: lostReceipts(), Queries: &simulator.Queries{Refuse: simulator.Status(status)},
			}}, asking)
			b.send(outgoing("hello"))
			b.awaitQueries(1)
			if status == pdu.StatusInvCmdID {
				return
			}
			b.until("it is let be", func() bool { return len(b.inquiries()) == 0 })
			if n := queried(b.smsc); n != most {
				t.Errorf("%d query_sm, want %d", n, most)
			}
		})
	}
}

// However many are missing, no more than query_tps are asked in a second, and
// the whole of mt_tps holds; the others are asked later.
func TestQueriesAreFew(t *testing.T) {
	const many = 300
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: lostReceipts()}}, asking,
		func(o *Transport) { o.Window, o.QueryTPS = 100, 20 })
	for _, err := range b.sendMany(many) {
		t.Fatal(err)
	}
	b.awaitQueries(1)
	began, before := time.Now(), queried(b.smsc)
	b.awaitQueries(before + 40)
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("40 questions took %s, want about 2 s", took)
	}
	b.until("the others are put off", func() bool { return b.metric("switchboard_smpp_queries_total", "outcome", "postponed") > 0 })
	var o Options
	o.MTTPS, o.Binds, o.QueryTPS = 50, 2, 20
	if r := o.queryRate(); r != 10 {
		t.Errorf("with mt_tps 50 on two binds the rate is %v, want a tenth of both", r)
	}
}
