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
