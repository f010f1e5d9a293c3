package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/internal/testutil"
	"switchboard/store"
)

func wantTrace(t *testing.T, db Ledger, id string, want []string, missing string) *store.Trace {
	t.Helper()
	trace, err := db.Trace(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range trace.Steps {
		got = append(got, s.What)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps, -want +got:\n%s", diff)
	}
	if all := strings.Join(trace.Missing, "\n"); missing == "" && all != "" || !strings.Contains(all, missing) {
		t.Errorf("missing: %q, want %q", all, missing)
	}
	return trace
}

// traceBroadcast follows one of a broadcast's messages to its second attempt.
func traceBroadcast(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Text: "x", Retries: 2, RetryAfter: time.Microsecond, Start: time.Now().Add(3 * time.Second)}, recipients(1))
	id := list(t, db, store.Filter{})[0].ID
	steps := []string{"stored by broadcast"}
	wantTrace(t, db, id, steps, fmt.Sprintf("not handed to transport sms; broadcast %d starts ", made.ID))
	var last store.Handover
	silent := func(h *store.Handover) []store.Envelope {
		record(t, db, published(h)) // a message that is published twice is handed over once
		last = *h
		return nil
	}
	next := func() {
		testutil.EventuallyWithin(t, soon, "the next attempt", func() bool { return len(deliver(t, db, silent)) == 1 })
	}
	next()
	steps = append(steps, "handed over (attempt 1)")
	wantTrace(t, db, id, steps, "no ack or nack from transport sms")
	record(t, db, nacked(&last)...)
	steps = append(steps, "nack")
	due := wantTrace(t, db, id, steps, "attempt 2 of 3, due ").Records[0]
	if due.NextTry.IsZero() || due.Tries != 3 || due.Attempts != 1 {
		t.Errorf("tried again: %+v", due)
	}
	if err := db.Pause(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	wantTrace(t, db, id, steps, fmt.Sprintf("UTC; broadcast %d is paused", made.ID))
	if err := db.Resume(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	next()
	record(t, db, acked(&last)...)
	steps = append(steps, "handed over (attempt 2)", "ack")
	trace := wantTrace(t, db, id, steps, "no delivery report from transport sms")
	for i, step := range trace.Steps[1:] {
		if want := 1 + i/2; step.Event.Attempt != want {
			t.Errorf("%s is of attempt %d, want %d", step.What, step.Event.Attempt, want)
		}
	}
}

// traceUnknown: a message without an application's name has no known sender.
func traceUnknown(t *testing.T, db Ledger) {
	e := outbound("m", "", at(0))
	e.Application = ""
	record(t, db, e)
	wantTrace(t, db, "m", []string{"sent to transport"}, "no ack or nack from transport sms")
}

// traceNothing: an empty key is of no message.
func traceNothing(t *testing.T, db Ledger) {
	record(t, db, inbound("m", at(0)))
	for _, key := range []string{"", " "} {
		if trace, err := db.Trace(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the trace of %q: %+v, %v", key, trace, err)
		}
	}
}
