package smpp

import (
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/simulator"
	"switchboard/transports/smpp/submissions"
	"switchboard/transports/transporttest"
)

// An id that can be read as two numbers is never given to the wrong person,
// however early its receipt comes.
func TestAmbiguousIDsFindTheRightPerson(t *testing.T) {
	for name, ids := range map[string]*simulator.IDs{
		"decimal": {Start: 1}, "hex, then decimal": {Format: "hex", InReceipts: "decimal"}, "decimal, then hex": {InReceipts: "hex"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{IDs: ids, Receipts: &simulator.Receipts{Early: 0.5, EarlyBy: simulator.Fixed(time.Millisecond)}}},
				func(o *Transport) { o.Window = 50 })
			for _, err := range b.sendMany(300) {
				t.Error(err)
			}
			reported := map[string]bool{}
			for range 300 {
				reported[b.line.NextEvent(t).MessageID] = true
			}
			if len(reported) != 300 {
				t.Errorf("%d messages were reported, want each of 300", len(reported))
			}
		})
	}
}

// Replicas that take the same receipt at the same moment may both report it:
// under one event_id, by which the record counts it once.
func TestReplicasReportAlike(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	state := remember(t)
	line := transporttest.NewPublisher()
	var engines []*run
	m := outgoing(strings.Repeat("0123456789", 20))
	for i := range 2 {
		tr := connected(t, v.Addr(), state, nil)
		transporttest.Start(t, tr, line)
		e, err := tr.running(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if engines = append(engines, e); i == 0 {
			if _, err := tr.Send(within(t), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	var group sync.WaitGroup
	for i, e := range engines {
		for j := range v.Submitted() {
			r := v.Submitted()[(i+j)%2]
			h := submissions.Receipt{ID: r.MessageID, Status: "delivered", Raw: "DELIVRD", From: m.To, To: m.From}
			group.Go(func() {
				if err := e.submissions.Receipt(t.Context(), h); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	last := &message.Event{ID: "last"}
	if err := line.Event(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	first := line.NextEvent(t)
	for e := first; e.ID != last.ID; e = line.NextEvent(t) {
		if e.ID != first.ID || e.DeliveryStatus != message.Delivered || e.MessageID != m.ID {
			t.Errorf("event = %s, and one before it was %s", e.Encode(), first.ID)
		}
	}
	if first.ID == last.ID {
		t.Error("nobody reported it")
	}
}
