package binds

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchboard/smpp"
)

// drive lets a pacer send as soon as it may, for a time, with answers that take
// what rtt says. It returns when each submit was sent.
func drive(p *pacer, window int, duration time.Duration, rtt func() time.Duration) (sent []time.Time) {
	now := time.Unix(1_000_000_000, 0)
	end := now.Add(duration)
	var answers []time.Time
	for now.Before(end) {
		answers = slices.DeleteFunc(answers, func(at time.Time) bool { return !at.After(now) })
		next := now.Add(time.Hour)
		for len(answers) < window {
			if wait := p.wait(now); wait > 0 {
				next = now.Add(wait)
				break
			}
			p.sent(now)
			sent = append(sent, now)
			answers = append(answers, now.Add(rtt()))
		}
		for _, at := range answers {
			if at.Before(next) {
				next = at
			}
		}
		now = next
	}
	return sent
}

// peak is the most submits in any one second.
func peak(sent []time.Time) (most int) {
	from := 0
	for i, at := range sent {
		for !sent[from].After(at.Add(-time.Second)) {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func paced(limit int) *pacer { return &pacer{limit: smpp.PerSecond{Most: limit}} }

// In no second more than mt_tps submits are sent, however late the timers are and
// however uneven the answers.
func TestNoSecondSeesMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 200).Draw(t, "mt_tps")
		window := rapid.IntRange(1, 300).Draw(t, "window")
		slowest := rapid.SampledFrom([]int{0, 10, 100, 1000, 5000}).Draw(t, "slowest ms")
		rtt := func() time.Duration {
			return time.Duration(rapid.IntRange(0, slowest).Draw(t, "ms")) * time.Millisecond
		}
		if most := peak(drive(paced(limit), window, 4*time.Second, rtt)); most > limit {
			t.Fatalf("%d in one second, want at most %d", most, limit)
		}
	})
}

// The rate is reached, to a fiftieth, whatever the round trip.
func TestRateIsReached(t *testing.T) {
	for _, limit := range []int{1, 10, 100, 1000} {
		for _, rtt := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond} {
			n := len(drive(paced(limit), limit, 10*time.Second, func() time.Duration { return rtt }))
			if want := 10 * limit; float64(n) < 0.98*float64(want) || n > want+1 {
				t.Errorf("mt_tps %d over %s: %d in 10 s, want %d", limit, rtt, n, want)
			}
		}
	}
}

// A queue that is full now and then is no reason to go slower for good.
func TestFewRefusalsAreTolerated(t *testing.T) {
	p := paced(0)
	p.throttle.delay = time.Millisecond
	now := time.Unix(1_000_000_000, 0)
	for i := range 1000 {
		sentAt := now
		p.sent(now)
		now = now.Add(10 * time.Millisecond)
		p.throttle.answered(sentAt, i%50 == 49, &p.recent, now)
	}
	if p.throttle.learned != 0 {
		t.Errorf("the rate came down to %.1f", p.throttle.learned)
	}
}

func TestThrottlingLowersAndComesBack(t *testing.T) {
	p := paced(100)
	p.throttle.delay = 100 * time.Millisecond
	now := time.Unix(1_000_000_000, 0)
	last := now
	for range 100 {
		last = now
		p.sent(now)
		now = now.Add(10 * time.Millisecond)
	}
	refused := func(now time.Time) { p.throttle.answered(last, true, &p.recent, now) }
	refused(now)
	refused(now)
	if refused(now); p.throttle.learned < 60 || p.throttle.learned > 75 {
		t.Errorf("learned %.1f a second, want about 0.7 of 100", p.throttle.learned)
	}
	if wait := p.wait(now); wait < p.throttle.delay {
		t.Errorf("waits %s, want throttle_delay", wait)
	}
	before := p.throttle.learned
	if refused(now.Add(2 * time.Second)); p.throttle.learned != before {
		t.Error("an older submit's answer lowered the rate again")
	}
	now = now.Add(time.Second)
	if rate := p.rate(now); rate <= before || rate > before*1.2 {
		t.Errorf("learned %.1f after a second, want a little more than %.1f", rate, before)
	}
	now = now.Add(time.Minute)
	if p.rate(now); p.throttle.learned != 0 {
		t.Errorf("after a minute without throttling the rate is still %.1f", p.throttle.learned)
	}
}

// An SMSC that takes nothing for two seconds gets soon afterwards again what it
// took before.
func TestComesBackFromAFullStop(t *testing.T) {
	p := paced(400)
	p.throttle.delay = 100 * time.Millisecond
	now := time.Unix(1_000_000_000, 0)
	run := func(duration time.Duration, refused bool) (taken int) {
		for end := now.Add(duration); now.Before(end); {
			if wait := p.wait(now); wait > 0 {
				now = now.Add(wait)
				continue
			}
			p.sent(now)
			p.throttle.answered(now, refused, &p.recent, now.Add(time.Millisecond))
			taken++
		}
		return taken
	}
	run(3*time.Second, false)
	run(2*time.Second, true)
	if learned := p.throttle.learned; learned == 0 || learned > 40 {
		t.Fatalf("learned %.1f a second of an SMSC that takes nothing", learned)
	}
	run(5*time.Second, false)
	if taken := run(time.Second, false); taken < 200 {
		t.Errorf("%d messages in a second, five seconds after the SMSC could take 400 again", taken)
	}
}

// An SMSC that takes less than before for good is not asked for more and more.
func TestSettlesNearALowerRate(t *testing.T) {
	p := paced(400)
	p.throttle.delay = 100 * time.Millisecond
	now := time.Unix(1_000_000_000, 0)
	took, refused := 0, 0
	var second time.Time
	for end := now.Add(2 * time.Minute); now.Before(end); {
		if wait := p.wait(now); wait > 0 {
			now = now.Add(wait)
			continue
		}
		if now.Sub(second) >= time.Second { // the SMSC takes 50 in each second of its own
			second, took = now, 0
		}
		took++
		p.sent(now)
		p.throttle.answered(now, took > 50, &p.recent, now)
		if took > 50 && end.Sub(now) < 30*time.Second {
			refused++
		}
	}
	if refused > 30*20 {
		t.Errorf("%d refused in the last 30 s of an SMSC that takes 50 a second", refused)
	}
}
