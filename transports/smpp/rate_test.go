package smpp

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/transports/smpp/submissions"
)

// trip is how long a submit is on its way to the SMSC, and its answer on its way
// back.
type trip struct{ there, back time.Duration }

// arriving lets a gate write n submits through a bind of mt_tps limit, and
// says when each arrived.
func arriving(t *testing.T, limit, n int, trips func(i int) trip) (list []time.Time) {
	g := newGate(nil, func(*lane, bool) {}, func(submissions.Part, string) bool { return false })
	defer g.close()
	k := &link{wake: make(chan struct{}, 1)}
	l := &lane{window: n, pending: map[uint32]*ticket{}, pace: pacer{limit: limit}}
	g.addLane(l)
	g.attach(l, k)
	outcomes := make(chan outcome, n)
	for range n {
		g.submit(&ticket{frame: make([]byte, 16), outcome: outcomes}, false)
	}
	seen := uint32(0)
	for end := time.Now().Add(time.Minute); len(outcomes) < n; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d were answered", len(outcomes), n)
		}
		for seen < k.sequences.Load() {
			seen++
			way := trips(int(seen))
			list = append(list, time.Now().Add(way.there))
			sequence := seen
			time.AfterFunc(way.there+way.back, func() { g.answer(l, sequence, toSubmit, outcome{}) })
		}
	}
	slices.SortFunc(list, time.Time.Compare)
	return list
}

// What the first trips took says nothing of the next: they were made by a busy
// machine, to a server that had just begun.
func TestRateHoldsAfterASlowBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := arriving(t, 50, 120, func(i int) trip {
			if i <= 10 {
				return trip{there: 10 * time.Millisecond}
			}
			return trip{there: 100 * time.Microsecond, back: 100 * time.Microsecond}
		})
		if most := peak(list); most > 50 {
			t.Errorf("%d arrived in one second, want at most 50", most)
		}
	})
}

// An SMSC that stands still, and then reads all at once what it was sent, gets no
// more with it than mt_tps.
func TestRateHoldsAfterAStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		list := arriving(t, 50, 200, func(int) trip {
			return trip{there: max(0, 5*time.Second-time.Since(began)), back: time.Millisecond}
		})
		if most := peak(list); most > 50 {
			t.Errorf("%d arrived in one second, want at most 50", most)
		}
	})
}

// An answer that does not come holds nothing up: those to later submits tell that
// all before them arrived.
func TestLostAnswersHoldNothingUp(t *testing.T) {
	var a arrivals
	now := time.Unix(1_000_000_000, 0)
	lost, answered, last := &mark{sentAt: now}, &mark{sentAt: now}, &mark{sentAt: now}
	for _, m := range []*mark{lost, answered, last} {
		a.sent(m)
	}
	a.answered(answered, now.Add(time.Minute))
	if a.wait(3, now.Add(time.Minute)) == 0 || a.wait(2, now.Add(time.Minute+second)) != 0 {
		t.Errorf("%d count a second after the answer to the second of three", a.active)
	}
	a.forget(last, now.Add(2*time.Minute))
	a.forget(lost, now.Add(2*time.Minute))
	if a.wait(1, now.Add(2*time.Minute)) == 0 || a.wait(1, now.Add(2*time.Minute+second)) != 0 || len(a.underway) > 0 {
		t.Errorf("%d count a second after the last is given up, %d are underway", a.active, len(a.underway))
	}
}

// What was underway when its connection was lost counts for as long as it may
// arrive.
func TestRateHoldsOverAReconnect(t *testing.T) {
	var a arrivals
	now := time.Unix(1_000_000_000, 0)
	a.sent(&mark{sentAt: now})
	a.sent(&mark{sentAt: now.Add(5 * time.Second)})
	a.forgetAll(now.Add(5 * time.Second))
	if at := now.Add(5*time.Second + second); a.wait(2, at.Add(-1)) == 0 || a.wait(2, at) != 0 || a.wait(1, at) != arrivalLimit {
		t.Errorf("%d count a second after the connection was lost", a.active)
	}
}
