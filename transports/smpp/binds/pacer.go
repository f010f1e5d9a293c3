package binds

import (
	"time"

	"switchboard/smpp"
)

// catchUp is how far submits may lag behind their even spacing and catch up:
// timers are no finer, and a busy machine is late.
const catchUp = 50 * time.Millisecond

// pacer holds one bind to its rate: to mt_tps, and to what the SMSC's throttling
// has taught. It is guarded by its queue's mutex.
type pacer struct {
	limit    smpp.PerSecond // mt_tps, however long answers take
	throttle throttle
	next     time.Time // when the even spacing allows the next submit
	recent   counter   // submits
}

// wait is how long it is until a submit may be sent; 0 is now.
func (p *pacer) wait(now time.Time) time.Duration {
	return max(p.throttle.pausedUntil.Sub(now), p.next.Sub(now), p.limit.Wait(now, 1), 0)
}

// sent counts a submit.
func (p *pacer) sent(now time.Time) {
	p.recent.add(now)
	p.limit.Pass(now, 1)
	if rate := p.rate(now); rate > 0 {
		if earliest := now.Add(-catchUp); p.next.Before(earliest) {
			p.next = earliest
		}
		p.next = p.next.Add(time.Duration(float64(time.Second) / rate))
	}
}

// rate is the even spacing's, per second; 0 is as fast as can be.
func (p *pacer) rate(now time.Time) float64 {
	limit := float64(p.limit.Most)
	if learned := p.throttle.rate(now, limit); learned > 0 {
		return learned
	}
	return limit
}

const (
	slots    = 10
	slotTime = time.Second / slots
)

// counter counts what happened in about the last second.
type counter struct {
	slot  int64
	since int64 // the first slot after a silence
	count [slots]int
}

func (c *counter) turn(now time.Time) {
	slot := now.UnixNano() / int64(slotTime)
	if slot-c.slot >= slots {
		*c = counter{slot: slot, since: slot}
	}
	for c.slot < slot {
		c.slot++
		c.count[c.slot%slots] = 0
	}
}

func (c *counter) add(now time.Time) {
	c.turn(now)
	c.count[c.slot%slots]++
}

// sum is how many there were in the last second.
func (c *counter) sum(now time.Time) float64 {
	c.turn(now)
	sum := 0
	for _, n := range c.count {
		sum += n
	}
	return float64(sum)
}

// rate is how many there are in a second: in the last one, or since a silence
// ended.
func (c *counter) rate(now time.Time) float64 {
	return c.sum(now) * slots / float64(min(c.slot-c.since+1, slots))
}

const (
	// decrease is what the rate is multiplied by when it is lowered, at most once in an
	// epoch: SMSCs count by the second.
	decrease = 0.7
	epoch    = time.Second
	// increase is the share of the peak that the rate grows by each second.
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

// throttle learns a rate from the SMSC's answers: it is lowered when more than a few of a
// second ask for less traffic, and raised step by step without, until it is lifted.
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
