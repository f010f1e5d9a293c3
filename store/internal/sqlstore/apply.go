package sqlstore

import (
	"switchboard/store"
)

// apply lets a word count. The outcome of several is the same in any order.
func (t *transmission) apply(w *word) (changed bool) {
	was := *t
	next := t.Learn(w.attempt, w.fact)
	if next.Attempt > t.Attempt {
		t.provider = "" // that of the attempt before, which its events have
	}
	former := w.attempt > 0 && w.attempt < t.Attempt
	switch {
	case next.Compare(t.Progress) > 0:
		t.Progress, t.reason = next, ""
		if next.Fact == w.fact {
			t.reason = w.reason
		}
	case w.fact == t.Fact && !former:
		t.reason = least(t.reason, w.reason)
	}
	switch w.fact {
	case store.Underway, store.Sent, store.Undelivered:
		t.sent = earliest(t.sent, w.at)
	case store.Delivered:
		t.sent = earliest(t.sent, w.at)
		t.delivered = earliest(t.delivered, w.at)
	}
	if !former {
		t.provider = least(t.provider, w.prov)
	}
	t.app = least(t.app, w.app)
	return *t != was
}

// about says whether w speaks of t.
func (w *word) about(t *transmission) bool {
	return w.wire == t.wire && (w.backend == 0 || w.backend == t.backend)
}

// again is what an arrival says of a transmission that is there already.
func (a *arrival) again() *word {
	return &word{
		wire: a.wire, event: "", backend: a.transmission.backend, month: a.month,
		fact: a.Fact, attempt: a.Attempt, at: a.date, prov: a.provider, app: a.app,
	}
}
