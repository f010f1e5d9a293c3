package binds

import "time"

// catchUp is how far submits may lag behind their even spacing and catch up:
// timers are no finer, and a busy machine is late.
const catchUp = 50 * time.Millisecond

// pacer holds one bind to its rate: to mt_tps, and to what the SMSC's throttling
// has taught. It is guarded by its queue's mutex.
type pacer struct {
	limit    sendLimit
	throttle throttle
	next     time.Time // when the even spacing allows the next submit
	recent   counter   // submits
}

// wait is how long it is until a submit may be sent; 0 is now.
func (p *pacer) wait(now time.Time) time.Duration {
	return max(p.throttle.pausedUntil.Sub(now), p.next.Sub(now), p.limit.wait(now), 0)
}

// sent counts a submit.
func (p *pacer) sent(now time.Time) {
	p.recent.add(now)
	p.limit.sent(now)
	if rate := p.rate(now); rate > 0 {
		if earliest := now.Add(-catchUp); p.next.Before(earliest) {
			p.next = earliest
		}
		p.next = p.next.Add(time.Duration(float64(time.Second) / rate))
	}
}

// rate is the even spacing's, per second; 0 is as fast as can be.
func (p *pacer) rate(now time.Time) float64 {
	limit := float64(p.limit.most)
	if learned := p.throttle.rate(now, limit); learned > 0 {
		return learned
	}
	return limit
}

// sendLimit is mt_tps: in any one second of our own clock at most so many
// submits are sent, however long their answers take.
type sendLimit struct {
	most   int         // 0 is no limit
	times  []time.Time // of the last submits, at most so many; a ring
	oldest int
}

func (l *sendLimit) wait(now time.Time) time.Duration {
	if l.most == 0 || len(l.times) < l.most {
		return 0
	}
	return l.times[l.oldest].Add(time.Second).Sub(now)
}

func (l *sendLimit) sent(now time.Time) {
	switch {
	case l.most == 0:
	case len(l.times) < l.most:
		l.times = append(l.times, now)
	default:
		l.times[l.oldest] = now
		l.oldest = (l.oldest + 1) % l.most
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
