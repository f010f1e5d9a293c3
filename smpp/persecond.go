package smpp

import "time"

// PerSecond lets at most Most things pass in any one second; 0 is no limit. It is guarded
// by whoever has it.
type PerSecond struct {
	Most int

	times  []time.Time // of the last ones, at most so many; a ring
	oldest int
}

// Wait is how long it is until k more may pass, together; 0 or less is now. A k above Most
// counts as Most.
func (p *PerSecond) Wait(now time.Time, k int) time.Duration {
	k = min(k, p.Most)
	must := len(p.times) + k - p.Most // so many must be more than a second old
	if must <= 0 {
		return 0
	}
	return p.times[(p.oldest+must-1)%len(p.times)].Add(time.Second).Sub(now)
}

// Pass counts k that pass now.
func (p *PerSecond) Pass(now time.Time, k int) {
	for range min(k, p.Most) {
		if len(p.times) < p.Most {
			p.times = append(p.times, now)
			continue
		}
		p.times[p.oldest] = now
		p.oldest = (p.oldest + 1) % p.Most
	}
}

// Allow passes k, all or none, and says whether it did.
func (p *PerSecond) Allow(now time.Time, k int) bool {
	allowed := p.Wait(now, k) <= 0
	if allowed {
		p.Pass(now, k)
	}
	return allowed
}
