package storetest

import (
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/store"
)

// tryAgain is a broadcast to one person whose first attempt gets answers, with its second
// attempt claimed and not published. done says that it was published.
func tryAgain(t *testing.T, db Ledger, answers func(first *store.Handover) []store.Envelope) (first, second store.Handover, done func()) {
	t.Helper()
	create(t, db, store.Broadcast{Text: "x", RetryAfter: time.Microsecond}, recipients(1))
	first = deliver(t, db, answers)[0]
	var batch int64
	testutil.EventuallyWithin(t, soon, "the next attempt is due", func() bool {
		for _, b := range dueNow(t, db) {
			batch, second = b.ID, claim(t, db, b.ID)[0]
		}
		return second.Attempt == 2
	})
	return first, second, func() { finish(t, db, batch, []store.Handover{second}, true) }
}

func reported(h *store.Handover, status message.DeliveryStatus) store.Envelope {
	e := answerOf(h, message.DeliveryReport)
	e.Event.DeliveryStatus = status
	return e
}

// lateAttempt: late events of the former attempt do not count for the claimed one, which is
// still published.
func lateAttempt(t *testing.T, db Ledger) {
	first, second, _ := tryAgain(t, db, nacked)
	record(t, db, published(&first), answerOf(&first, message.Ack), reported(&first, message.Pending))
	r := find(t, db, second.ID)
	if r.Status != store.StatusQueued || r.Attempts != 2 || r.Missing() == "" {
		t.Errorf("not published yet, and recorded as %+v", r)
	}
	record(t, db, published(&second), answerOf(&second, message.Ack))
	if r := find(t, db, second.ID); r.Status != store.StatusSent {
		t.Errorf("sent, and recorded as %+v", r)
	}
}

// lateFailure: a second failed report of the former attempt causes no third attempt.
func lateFailure(t *testing.T, db Ledger) {
	first, second, done := tryAgain(t, db, func(h *store.Handover) []store.Envelope {
		return append(acked(h), reported(h, message.Failed))
	})
	record(t, db, published(&second), answerOf(&second, message.Ack))
	done()
	record(t, db, reported(&first, message.Failed), answerOf(&first, message.Nack))
	if r := find(t, db, second.ID); r.Status != store.StatusSent || r.Reason != "" {
		t.Errorf("sent, and recorded as %+v", r)
	}
	if i := info(t, db, second.Broadcast); i.Retrying != 0 || i.Sent != 1 {
		t.Errorf("the broadcast: %+v", i)
	}
	record(t, db, reported(&second, message.Failed))
	if i := info(t, db, second.Broadcast); i.Retrying != 1 || i.Error != 1 {
		t.Errorf("the broadcast when its second attempt has failed: %+v", i)
	}
}

// lateArrival: a message whose former attempt is delivered is delivered, and not sent again.
func lateArrival(t *testing.T, db Ledger) {
	first, second, done := tryAgain(t, db, func(h *store.Handover) []store.Envelope {
		return append(acked(h), reported(h, message.Failed))
	})
	record(t, db, reported(&first, message.Delivered))
	record(t, db, published(&second), answerOf(&second, message.Nack))
	done()
	if r := find(t, db, second.ID); r.Status != store.StatusDelivered || r.Delivered.IsZero() || r.Reason != "" {
		t.Errorf("arrived, and recorded as %+v", r)
	}
	if i := info(t, db, second.Broadcast); i.Retrying != 0 || i.Delivered != 1 {
		t.Errorf("the broadcast: %+v", i)
	}
}

// providersOfAttempts: each attempt has a provider id, and each of them finds the message.
func providersOfAttempts(t *testing.T, db Ledger) {
	name := func(h *store.Handover, provider string) store.Envelope {
		e := answerOf(h, message.Ack)
		e.Event.SentMessageID = provider
		return e
	}
	_, second, done := tryAgain(t, db, func(h *store.Handover) []store.Envelope {
		return []store.Envelope{name(h, "a-first"), reported(h, message.Failed)}
	})
	record(t, db, published(&second), name(&second, "b-second"))
	done()
	for _, key := range []string{"a-first", "b-second"} {
		trace, err := db.Trace(t.Context(), key)
		if err != nil || len(trace.Records) != 1 || trace.Records[0].ID != second.ID || trace.Records[0].ProviderID != "b-second" {
			t.Errorf("Trace(%s) = %+v, %v", key, trace, err)
		}
	}
}
