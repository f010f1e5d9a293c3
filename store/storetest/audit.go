package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/message"
	"switchboard/store"
)

// StuckCounts count the stuck messages that are not named, too.
func auditsMany(t *testing.T, db Ledger) {
	var batch []store.Envelope
	for i := range 7 {
		e := outbound(fmt.Sprint("m", i), "", at(0))
		if i > 4 {
			e.Backend = "ussd"
		}
		batch = append(batch, e)
	}
	record(t, db, append(batch, inbound("in", at(0)), outbound("done", "", at(0)), ack("done", at(1)))...)
	for _, most := range []int{2, 100} {
		a, err := db.Audit(t.Context(), store.AuditLimits{Stuck: -time.Minute, MaxStuck: most})
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int64{}
		for _, c := range a.StuckCounts {
			counts[fmt.Sprint(c.Backend, c.Application, c.Direction, c.Status)] += c.N
		}
		if diff := cmp.Diff(map[string]int64{"smsappOP": 5, "ussdappOP": 2, "smsIQ": 1}, counts); diff != "" {
			t.Errorf("counts of what is stuck, -want +got:\n%s", diff)
		}
		if want := min(most, 8); len(a.Stuck) != want {
			t.Errorf("%d are named, want %d", len(a.Stuck), want)
		}
	}
}

// An audit of some time names nothing from before, and names the events whose message never
// came.
func auditSince(t *testing.T, db Ledger) {
	record(t, db, outbound("old", "", at(0)), outbound("new", "", at(10)), ack("no message", at(11)), ack("old, no message", at(1)))
	all, err := db.Audit(t.Context(), store.AuditLimits{Stuck: -time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new", "old"}, ids(all.Stuck)); diff != "" {
		t.Errorf("stuck at any time, -want +got:\n%s", diff)
	}
	if all.Orphan != 2 || len(all.Orphans) != 2 || all.Orphans[0].MessageID != "old, no message" {
		t.Errorf("%d events without a message: %+v", all.Orphan, all.Orphans)
	}
	a, err := db.Audit(t.Context(), store.AuditLimits{Stuck: -time.Minute, Since: at(5)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new"}, ids(a.Stuck)); diff != "" || len(a.StuckCounts) != 1 || a.StuckCounts[0].N != 1 {
		t.Errorf("stuck since then: %+v, -want +got:\n%s", a.StuckCounts, diff)
	}
	if a.Orphan != 1 || len(a.Orphans) != 1 {
		t.Fatalf("%d events without a message: %+v", a.Orphan, a.Orphans)
	}
	if e := a.Orphans[0]; e.MessageID != "no message" || e.Backend != "sms" || e.Type != "sent" || !e.Date.Equal(at(11)) {
		t.Errorf("the event without a message: %+v", e)
	}
}

// A message waits for a delivery report when its transport reports on others.
func unreported(t *testing.T, db Ledger) {
	other := outbound("elsewhere", "", at(0))
	other.Backend = "telnet"
	arrived := ack("elsewhere", at(1))
	arrived.Backend = "telnet"
	record(t, db, other, arrived, outbound("late", "", at(0)), ack("late", at(1)), outbound("later", "", at(0)), ack("later", at(2)),
		outbound("just sent", "", at(0)), ack("just sent", time.Now()), outbound("on its way", "", at(0)))
	due := func(l store.AuditLimits) ([]string, []store.Count) {
		t.Helper()
		a, err := db.Audit(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		return ids(a.Unreported), a.UnreportedCounts
	}
	limits := store.AuditLimits{Unreported: 30 * time.Minute}
	if got, _ := due(limits); got != nil {
		t.Errorf("before any report: %q", got)
	}
	record(t, db, outbound("reported", "", at(0)), ack("reported", at(1)), report("reported", message.Delivered, at(2)))
	got, counts := due(limits)
	if diff := cmp.Diff([]string{"late", "later"}, got); diff != "" {
		t.Errorf("waiting for a report, -want +got:\n%s", diff)
	}
	if len(counts) != 1 || counts[0].N != 2 || counts[0].Backend != "sms" {
		t.Errorf("counts: %+v", counts)
	}
	limits.MaxStuck = 1
	if got, counts := due(limits); len(got) != 1 || len(counts) != 1 || counts[0].N != 2 {
		t.Errorf("naming one: %q, %+v", got, counts)
	}
	limits.Since = time.Now().Add(time.Minute)
	if got, _ := due(limits); got != nil {
		t.Errorf("of none of this time: %q", got)
	}
	if got, _ := due(store.AuditLimits{}); got != nil {
		t.Errorf("without a limit: %q", got)
	}
}
