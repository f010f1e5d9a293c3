package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/message"
	"switchboard/store"
)

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
	pending(t, db)
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

// pending: a pending report counts less than a nack, and a nack less than an ack, in any
// order.
func pending(t *testing.T, db Ledger) {
	for name, list := range map[string][]store.Envelope{
		"before": {report("before", message.Pending, at(1)), nack("before", "given up", at(2))},
		"after":  {nack("after", "given up", at(1)), report("after", message.Pending, at(2))},
	} {
		record(t, db, outbound(name, "", at(0)), list[0])
		record(t, db, list[1])
		if r := find(t, db, name); r.Status != store.StatusError || r.Reason != "given up" || r.Sent.IsZero() {
			t.Errorf("pending %s a nack: %+v, want E with its reason", name, r)
		}
		record(t, db, ack(name, at(3)))
		if r := find(t, db, name); r.Status != store.StatusSent || r.Reason != "" {
			t.Errorf("pending %s a nack, then an ack: %s %q, want S", name, r.Status, r.Reason)
		}
	}
}
