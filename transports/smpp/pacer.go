package smpp

import (
	"math"
	"time"
)

// tolerance is how far submits may lag behind their even spacing and catch
// up: timers are no finer.
const tolerance = 10 * time.Millisecond

// pacer holds one bind to its rate. Two things do, and neither knows the other:
//
//   - mt_tps: no more than limit submits arrive at the SMSC in any one second,
//     see arrivals.
//   - what the SMSC says: when more than a few answers of a second ask for less
//     traffic the learned rate is lowered by a share, and time without raises it
//     step by step, until it is lifted.
//
// It is guarded by its gate's mutex.
type pacer struct {
	limit    int // per second; 0 is none
	next     time.Time
	arrivals arrivals

	delay       time.Duration // throttle_delay
	learned     float64       // per second; 0 is none
	peak        float64       // what learned came down from
	goal        float64       // up to which learned grows at once
	before      float64       // the rate when refusals began, before any pause
	decreasedAt time.Time
	increasedAt time.Time
	pausedUntil time.Time

	recent   counter // submits
	answers  counter
	refusals counter // answers that asked for less traffic
}

// wait is how long it is until a submit may be written; 0 is now.
func (p *pacer) wait(now time.Time) time.Duration {
	p.grow(now)
	wait := max(p.pausedUntil.Sub(now), p.next.Sub(now), 0)
	if p.limit == 0 {
		return wait
	}
	return max(wait, p.arrivals.wait(p.limit, now))
}

// sent counts a submit that is being written.
func (p *pacer) sent(now time.Time) *mark {
	p.recent.add(now)
	if rate := p.rate(); rate > 0 {
		earliest := now.Add(-tolerance)
		if p.next.Before(earliest) {
			p.next = earliest
		}
		p.next = p.next.Add(time.Duration(float64(time.Second) / rate))
	}
	m := &mark{sentAt: now}
	if p.limit > 0 {
		p.arrivals.sent(m)
	}
	return m
}

// rate is the even spacing's, per second; 0 is as fast as can be.
func (p *pacer) rate() float64 {
	switch {
	case p.learned > 0 && (p.limit == 0 || p.learned < float64(p.limit)):
		return p.learned
	case p.limit > 0:
		return float64(p.limit)
	}
	return 0
}

const (
	// decrease is what the rate is multiplied by, at most once in an epoch: SMSCs
	// count by the second, so what follows sooner says nothing new.
	decrease = 0.7
	epoch    = time.Second
	// increase is what the rate grows by each second, and steep after patience
	// without coming down: then it is far from the limit.
	increase    = 0.1
	steep       = 0.25
	patience    = 5 * time.Second
	minimumRate = 1.0
	// restart is how much faster each second is than the one before, up to the
	// goal: what an SMSC took before it took nothing, it is likely to take again.
	restart = 3
	// doubt is what the goal is multiplied by when less is refused too.
	doubt = 0.9
	// tolerated is the share of answers that may ask for less traffic without
	// the rate being lowered: a queue that is full now and then is no rate.
	tolerated = 0.05
	// fewRefusals of a second prove nothing, however large their share is.
	fewRefusals = 2
	// liftFactor: a bind without mt_tps is free again when the rate is so much
	// above the one at which it was throttled.
	liftFactor = 2
)

// judge takes down whether an answer asked for less traffic.
func (p *pacer) judge(m *mark, throttled bool, now time.Time) {
	p.answers.add(now)
	if !throttled {
		p.grow(now)
		return
	}
	if p.refusals.sum(now) == 0 {
		p.before = p.recent.rate(now)
	}
	p.refusals.add(now)
	if until := now.Add(p.delay); until.After(p.pausedUntil) {
		p.pausedUntil = until
	}
	fresh := m.sentAt.After(p.decreasedAt) && now.Sub(p.decreasedAt) >= epoch
	if n := p.refusals.sum(now); fresh && n > fewRefusals && n > tolerated*p.answers.sum(now) {
		p.lower(now)
	}
}

func (p *pacer) lower(now time.Time) {
	current := max(p.recent.rate(now), minimumRate)
	if p.learned > 0 {
		current = min(current, p.learned)
	}
	// While nothing is taken the rate comes down to that of our own pauses, which
	// says little of what the SMSC takes at other times. So the goal comes down by
	// as much only from where it was reached.
	switch {
	case p.learned == 0:
		p.peak = max(p.before, current)
		p.goal = p.peak * decrease
	case p.learned >= p.goal:
		p.peak = p.learned
		p.goal = p.peak * decrease
	default:
		p.goal *= doubt
	}
	p.learned = max(current*decrease, minimumRate)
	p.goal = max(p.goal, p.learned)
	p.decreasedAt, p.increasedAt = now, now
}

// grow raises the learned rate each second.
func (p *pacer) grow(now time.Time) {
	if p.learned == 0 || now.Sub(p.increasedAt) < time.Second {
		return
	}
	steps := now.Sub(p.increasedAt).Seconds()
	p.increasedAt = now
	share := increase
	if now.Sub(p.decreasedAt) > patience {
		share = steep
	}
	if p.learned < p.goal {
		p.learned = min(p.learned*math.Pow(restart, steps), p.goal)
		return
	}
	p.learned += steps * max(1, p.learned*share)
	if p.limit > 0 && p.learned >= float64(p.limit) || p.limit == 0 && p.learned >= liftFactor*p.peak+1 {
		p.learned, p.goal = 0, 0
	}
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
