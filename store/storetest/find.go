package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/message"
	"switchboard/store"
)

func ids(records []store.Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

// fleet records some messages of several kinds.
func fleet(t *testing.T, db Ledger) time.Time {
	begin := base()
	when := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	other := outbound("other", "", when(3))
	other.Backend, other.Application, other.Message.To = "ussd", "app2", "+2799"
	other.Message.Content = "100% off_er"
	record(t, db,
		inbound("in", when(0)), outbound("out", "in", when(1)), ack("out", when(1)),
		outbound("fail", "", when(2)), nack("fail", "no credit", when(2)), other)
	return begin
}

func filters(t *testing.T, db Ledger) {
	begin := fleet(t, db)
	minute := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	for name, c := range map[string]struct {
		filter store.Filter
		want   []string
	}{
		"all":           {store.Filter{}, []string{"other", "fail", "out", "in"}},
		"address":       {store.Filter{Address: "+27831234567"}, []string{"fail", "out", "in"}},
		"nobody":        {store.Filter{Address: "+1"}, nil},
		"transport":     {store.Filter{Backend: "ussd"}, []string{"other"}},
		"no transport":  {store.Filter{Backend: "none"}, nil},
		"application":   {store.Filter{Application: "app2"}, []string{"other"}},
		"state":         {store.Filter{Status: store.StatusError}, []string{"fail"}},
		"direction":     {store.Filter{Direction: store.Inbound}, []string{"in"}},
		"since":         {store.Filter{Since: minute(2)}, []string{"other", "fail"}},
		"until":         {store.Filter{Until: minute(2)}, []string{"out", "in"}},
		"text":          {store.Filter{Text: "TEXT OF o"}, []string{"out"}},
		"text is plain": {store.Filter{Text: "0% off_"}, []string{"other"}},
		"no wildcards":  {store.Filter{Text: "t%f"}, nil},
		"several":       {store.Filter{Address: "+27831234567", Direction: store.Outbound, Status: store.StatusSent}, []string{"out"}},
		"limit":         {store.Filter{Limit: 2}, []string{"other", "fail"}},
	} {
		if diff := cmp.Diff(c.want, ids(list(t, db, c.filter))); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
	for _, bad := range []store.Filter{{Status: "X"}, {Status: "QR"}, {Direction: "x"}, {Cursor: "?"}} {
		for _, err := range db.Messages(t.Context(), bad) {
			if err == nil {
				t.Errorf("Messages(%+v) gave no error", bad)
			}
		}
	}
}

func pages(t *testing.T, db Ledger) {
	const n = 1003 // several pages, many at one moment
	begin := base()
	batch := make([]store.Envelope, n)
	for i := range batch {
		batch[i] = outbound(fmt.Sprintf("m%04d", i), "", begin.Add(time.Duration(i/100)*time.Second))
		if i%2 == 0 {
			batch[i].Backend = "ussd" // the same address on two backends
		}
	}
	record(t, db, batch...)
	for name, f := range map[string]store.Filter{"all": {}, "of an address": {Address: "+27831234567"}} {
		seen := map[string]bool{}
		var last store.Record
		for _, r := range list(t, db, f) {
			if last.ID != "" && (r.Date.After(last.Date) || r.Date.Equal(last.Date) && r.ID > last.ID) {
				t.Fatalf("%s: %s after %s", name, r.ID, last.ID)
			}
			seen[r.ID], last = true, r
		}
		if len(seen) != n {
			t.Errorf("%s: %d different records, want %d", name, len(seen), n)
		}
		seen = map[string]bool{}
		f.Limit = 250
		for {
			page := list(t, db, f)
			for _, r := range page {
				seen[r.ID] = true
				f.Cursor = r.Cursor()
			}
			if len(page) < f.Limit {
				break
			}
		}
		if len(seen) != n {
			t.Errorf("%s by cursor: %d different records, want %d", name, len(seen), n)
		}
	}
	for r := range db.Messages(t.Context(), store.Filter{}) {
		if find(t, db, r.ID).ID != r.ID { // a listing holds no connection
			t.Error("look-up within a listing")
		}
		break
	}
}

func traces(t *testing.T, db Ledger) {
	envelopes, _ := theConversation()
	record(t, db, envelopes...)
	more := outbound("second", "in", at(9))
	record(t, db, more, outbound("unrelated", "", at(9)))
	want := []string{
		"received by transport", "sent by application", "processed", "ack", "delivery_report pending",
		"delivery_report delivered", "sent by application",
	}
	for _, key := range []string{"in", "out", "second", "smsc-out"} {
		trace, err := db.Trace(t.Context(), key)
		if err != nil {
			t.Fatalf("Trace(%s): %v", key, err)
		}
		var got []string
		for _, s := range trace.Steps {
			got = append(got, s.What)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Trace(%s), -want +got:\n%s", key, diff)
		}
		if len(trace.Missing) != 1 || trace.Truncated {
			t.Errorf("Trace(%s): missing %q, truncated %v", key, trace.Missing, trace.Truncated)
		}
		if trace.Records[0].Body == "" || trace.Steps[3].Event.Body == "" {
			t.Errorf("Trace(%s) has no bodies", key)
		}
	}
	named := inbound("named", at(20))
	named.ExternalID, named.Message.From = "smsc-named", "+2799"
	record(t, db, named)
	if trace, err := db.Trace(t.Context(), "smsc-named"); err != nil || len(trace.Records) != 1 || trace.Records[0].ID != "named" {
		t.Errorf("Trace by the outside's name of an inbound message = %+v, %v", trace, err)
	}
	if trace, err := db.Trace(t.Context(), "+27831234567"); err != nil || len(trace.Records) != 4 {
		t.Errorf("Trace by address = %+v, %v", trace, err)
	}
	if _, err := db.Trace(t.Context(), "nothing"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Trace of nothing = %v", err)
	}
}

func audits(t *testing.T, db Ledger) {
	begin := fleet(t, db)
	a, err := db.Audit(t.Context(), store.AuditLimits{Stuck: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Count{
		{Backend: "sms", Application: "app", Direction: store.Inbound, Status: store.StatusProcessed, N: 1},
		{Backend: "sms", Application: "app", Direction: store.Outbound, Status: store.StatusError, N: 1},
		{Backend: "sms", Application: "app", Direction: store.Outbound, Status: store.StatusSent, N: 1},
		{Backend: "ussd", Application: "app2", Direction: store.Outbound, Status: store.StatusPassing, N: 1},
	}
	if diff := cmp.Diff(want, a.Counts); diff != "" {
		t.Errorf("counts, -want +got:\n%s", diff)
	}
	if len(a.Stuck) != 0 || a.Orphan != 0 {
		t.Errorf("stuck %v, orphan %d", ids(a.Stuck), a.Orphan)
	}
	a, err = db.Audit(t.Context(), store.AuditLimits{Since: begin.Add(3 * time.Minute), Stuck: -time.Minute, MaxStuck: 1})
	if err != nil || len(a.Counts) != 1 || cmp.Diff([]string{"other"}, ids(a.Stuck)) != "" {
		t.Errorf("Audit = %+v, %v", a, err)
	}
}

func retention(t *testing.T, db Ledger) {
	now := time.Now()
	for back := range 5 {
		id := fmt.Sprint("back", back)
		// The middle of a month, so that counting months has no edges.
		when := time.Date(now.Year(), now.Month(), 15, 0, 0, 0, 0, time.UTC).AddDate(0, -back, 0)
		record(t, db, outbound(id, "", when), ack(id, when), inbound("i"+id, when))
	}
	n, err := db.Retention(t.Context(), 2)
	if err != nil || n == 0 {
		t.Fatalf("Retention = %d, %v", n, err)
	}
	if got := list(t, db, store.Filter{}); len(got) != 6 {
		t.Errorf("kept %v", ids(got))
	}
	if _, err := db.Trace(t.Context(), "back3"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Trace of what is forgotten = %v", err)
	}
	if n, err := db.Retention(t.Context(), 2); n != 0 || err != nil {
		t.Errorf("Retention again = %d, %v", n, err)
	}
	if _, err := db.Retention(t.Context(), -1); err == nil {
		t.Error("Retention of a negative time was taken")
	}
	// A message of a deleted month that is redelivered late is recorded anew.
	record(t, db, outbound("back4", "", now.AddDate(0, -4, 0)), report("back4", message.Delivered, now))
	if r := find(t, db, "back4"); r.Status != store.StatusDelivered {
		t.Errorf("redelivered: %+v", r)
	}
}

func contacts(t *testing.T, db Ledger) {
	sms, jabber := store.Address{Backend: "sms", Identity: "+27831234567"}, store.Address{Backend: "xmpp", Identity: "thandi@example.org"}
	c := store.Contact{Name: "Thandi", Language: "zu", Connections: []store.Address{sms, jabber}}
	id, err := db.SaveContact(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	c.ID = id
	for _, a := range c.Connections {
		got, err := db.ContactOf(t.Context(), a)
		if err != nil || cmp.Diff(&c, got) != "" {
			t.Errorf("ContactOf(%v) = %+v, %v", a, got, err)
		}
	}
	c.Connections, c.Language = c.Connections[:1], "en"
	if _, err := db.SaveContact(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ContactOf(t.Context(), jabber); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("ContactOf a connection that was taken away = %v", err)
	}
	for _, a := range []store.Address{sms, jabber} {
		for _, out := range []bool{true, false, true} {
			if err := db.OptOut(t.Context(), a, out); err != nil {
				t.Fatal(err)
			}
			if got, err := db.ContactOf(t.Context(), a); err != nil || got.OptedOut != out {
				t.Errorf("after OptOut(%v, %v): %+v, %v", a, out, got, err)
			}
		}
	}
	if _, err := db.SaveContact(t.Context(), store.Contact{ID: 99999}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("SaveContact of one who is not there = %v", err)
	}
}
