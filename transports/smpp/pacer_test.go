package smpp

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drive lets a pacer write as soon as it may, for a time, over a network on
// which way there and way back take what there and back say, and none overtakes
// another on the way there. It returns when each submit arrived.
func drive(p *pacer, window int, duration time.Duration, there, back func() time.Duration) (arrivals []time.Time) {
	type flight struct {
		mark   *mark
		answer time.Time
	}
	now := time.Unix(1_000_000_000, 0)
	end := now.Add(duration)
	var flights []flight
	for now.Before(end) {
		next := now.Add(time.Hour)
		flights = slices.DeleteFunc(flights, func(f flight) bool {
			if f.answer.After(now) {
				if f.answer.Before(next) {
					next = f.answer
				}
				return false
			}
			p.arrivals.answered(f.mark, now)
			return true
		})
		for len(flights) < window {
			if wait := p.wait(now); wait > 0 {
				if at := now.Add(wait); at.Before(next) {
					next = at
				}
				break
			}
			arrival := now.Add(there())
			if n := len(arrivals); n > 0 && arrival.Before(arrivals[n-1]) {
				arrival = arrivals[n-1]
			}
			arrivals = append(arrivals, arrival)
			f := flight{p.sent(now), arrival.Add(back())}
			flights = append(flights, f)
			if f.answer.Before(next) {
				next = f.answer
			}
		}
		now = next
	}
	slices.SortFunc(arrivals, time.Time.Compare)
	return arrivals
}

// peak is the most arrivals in any one second.
func peak(arrivals []time.Time) (most int) {
	from := 0
	for i, at := range arrivals {
		for !arrivals[from].After(at.Add(-time.Second)) {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// However slow and uneven the network is, no second sees more than mt_tps.
func TestNoSecondSeesMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 200).Draw(t, "mt_tps")
		window := rapid.IntRange(1, 300).Draw(t, "window")
		slowest := rapid.SampledFrom([]int{0, 10, 100, 1000, 5000}).Draw(t, "slowest ms")
		way := func() time.Duration {
			return time.Duration(rapid.IntRange(0, slowest).Draw(t, "ms")) * time.Millisecond
		}
		if most := peak(drive(&pacer{limit: limit}, window, 4*time.Second, way, way)); most > limit {
			t.Fatalf("%d in one second, want at most %d", most, limit)
		}
	})
}

// The rate is reached, to a hundredth, as far as the round trip leaves time for it.
func TestRateIsReached(t *testing.T) {
	for _, limit := range []int{1, 10, 100, 1000, 5000} {
		for _, rtt := range []time.Duration{0, 20 * time.Millisecond, 400 * time.Millisecond} {
			way := func() time.Duration { return rtt / 2 }
			n := float64(len(drive(&pacer{limit: limit}, 10_000, 10*time.Second, way, way)))
			if want := 10 * float64(limit) / (1 + rtt.Seconds()); n < want*0.99-1 || n > want*1.01+1 {
				t.Errorf("mt_tps %d over %s: %.0f in 10 s, want %.0f", limit, rtt, n, want)
			}
		}
	}
}

// A queue that is full now and then is no reason to go slower for good.
func TestFewRefusalsAreTolerated(t *testing.T) {
	p := &pacer{delay: time.Millisecond}
	now := time.Unix(1_000_000_000, 0)
	for i := range 1000 {
		m := p.sent(now)
		now = now.Add(10 * time.Millisecond)
		p.judge(m, i%50 == 49, now)
	}
	if p.learned != 0 {
		t.Errorf("the rate came down to %.1f", p.learned)
	}
}

func TestThrottlingLowersAndComesBack(t *testing.T) {
	p := &pacer{limit: 100, delay: 100 * time.Millisecond}
	now := time.Unix(1_000_000_000, 0)
	var last *mark
	for range 100 {
		last = p.sent(now)
		p.arrivals.answered(last, now)
		now = now.Add(10 * time.Millisecond)
	}
	p.judge(last, true, now)
	p.judge(last, true, now)
	if p.judge(last, true, now); p.learned < 60 || p.learned > 75 {
		t.Errorf("learned %.1f a second, want about 0.7 of 100", p.learned)
	}
	if wait := p.wait(now); wait < p.delay {
		t.Errorf("waits %s, want throttle_delay", wait)
	}
	before := p.learned
	if p.judge(last, true, now.Add(2*time.Second)); p.learned != before {
		t.Error("an older submit's answer lowered the rate again")
	}
	now = now.Add(time.Second)
	if p.grow(now); p.learned <= before || p.learned > before*1.2 {
		t.Errorf("learned %.1f after a second, want a little more than %.1f", p.learned, before)
	}
	now = now.Add(time.Minute)
	if p.grow(now); p.learned != 0 {
		t.Errorf("after a minute without throttling the rate is still %.1f", p.learned)
	}
}

// An SMSC that takes nothing for two seconds gets soon afterwards again what it
// took before.
func TestComesBackFromAFullStop(t *testing.T) {
	p := &pacer{limit: 400, delay: 100 * time.Millisecond}
	now := time.Unix(1_000_000_000, 0)
	run := func(duration time.Duration, refused bool) (taken int) {
		for end := now.Add(duration); now.Before(end); {
			if wait := p.wait(now); wait > 0 {
				now = now.Add(wait)
				continue
			}
			m := p.sent(now)
			p.arrivals.answered(m, now)
			p.judge(m, refused, now.Add(time.Millisecond))
			taken++
		}
		return taken
	}
	run(3*time.Second, false)
	run(2*time.Second, true)
	if p.learned == 0 || p.learned > 40 {
		t.Fatalf("learned %.1f a second of an SMSC that takes nothing", p.learned)
	}
	run(5*time.Second, false)
	if taken := run(time.Second, false); taken < 200 {
		t.Errorf("%d messages in a second, five seconds after the SMSC could take 400 again", taken)
	}
}
