package binds

import "time"

const (
	// decrease is what the rate is multiplied by when it is lowered, at most once
	// in an epoch: SMSCs count by the second, so what follows sooner says nothing
	// new.
	decrease = 0.7
	epoch    = time.Second
	// increase is the share of the peak that the rate grows by each second, so
	// that an SMSC which took nothing for a while soon gets what it took before.
	increase = 0.125
	// peakDecrease is what the peak is multiplied by when the rate is lowered
	// again: the SMSC takes less than before for good.
	peakDecrease = 0.9
	minimumRate  = 1.0
	// tolerated is the share of answers that may ask for less traffic without
	// the rate being lowered: a queue that is full now and then is no rate.
	tolerated = 0.05
	// fewRefusals of a second prove nothing, however large their share is.
	fewRefusals = 2
	// liftFactor: a bind without mt_tps is free again when the rate is so much
	// above the one at which it was throttled.
	liftFactor = 2
)

// throttle learns a rate from the SMSC's answers: when more than a few of a
// second ask for less traffic the rate is lowered by a share, and time without
// raises it step by step until it is lifted.
type throttle struct {
	delay       time.Duration // throttle_delay
	learned     float64       // per second; 0 is none
	peak        float64       // the rate when the SMSC began to refuse
	before      float64       // the rate before the present refusals, and before any pause
	decreasedAt time.Time
	increasedAt time.Time
	pausedUntil time.Time

	answers  counter
	refusals counter // answers that asked for less traffic
}

// rate is the learned rate per second; 0 when none holds. limit is mt_tps.
func (t *throttle) rate(now time.Time, limit float64) float64 {
	t.grow(now, limit)
	return t.learned
}

// answered counts the answer to a submit of a time; recent is the rate of
// submits.
func (t *throttle) answered(sentAt time.Time, refused bool, recent *counter, now time.Time) {
	t.answers.add(now)
	if !refused {
		return
	}
	if t.refusals.sum(now) == 0 {
		t.before = recent.rate(now)
	}
	t.refusals.add(now)
	if until := now.Add(t.delay); until.After(t.pausedUntil) {
		t.pausedUntil = until
	}
	fresh := sentAt.After(t.decreasedAt) && now.Sub(t.decreasedAt) >= epoch
	if n := t.refusals.sum(now); fresh && n > fewRefusals && n > tolerated*t.answers.sum(now) {
		t.lower(recent.rate(now), now)
	}
}

func (t *throttle) lower(current float64, now time.Time) {
	current = max(current, minimumRate)
	if t.learned > 0 {
		current = min(current, t.learned)
		t.peak = max(t.peak*peakDecrease, current)
	} else {
		t.peak = max(t.before, current)
	}
	t.learned = max(current*decrease, minimumRate)
	t.decreasedAt, t.increasedAt = now, now
}

// grow raises the learned rate each second.
func (t *throttle) grow(now time.Time, limit float64) {
	if t.learned == 0 || now.Sub(t.increasedAt) < time.Second {
		return
	}
	t.learned += now.Sub(t.increasedAt).Seconds() * max(1, t.peak*increase)
	t.increasedAt = now
	if limit > 0 && t.learned >= limit || limit == 0 && t.learned >= liftFactor*t.peak+1 {
		t.learned = 0
	}
}
