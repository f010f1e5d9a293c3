package simulator

import (
	"time"
)

// phase lays the behaviours anew whenever a phase begins or ends.
func (v *SMSC) phase() {
	for {
		d, ok := v.applyPhases()
		if !ok {
			return
		}
		select {
		case <-time.After(d):
		case <-v.closing:
			return
		}
	}
}

// applyPhases gives each account the behaviour that holds now, and returns how long
// it holds.
func (v *SMSC) applyPhases() (next time.Duration, ok bool) {
	now := time.Since(v.started)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range v.accounts {
		b := a.conf.Behaviour.over(v.base)
		for _, p := range v.settings.Phases {
			if p.active(now) && (p.Account == "" || p.Account == a.conf.SystemID) {
				b = p.Behaviour.over(b)
			}
		}
		b = b.over(plain())
		a.behaviour.Store(&b)
		a.begin(&b)
	}
	for _, p := range v.settings.Phases {
		if d, changes := p.change(now); changes && (!ok || d < next) {
			next, ok = d, true
		}
	}
	return next, ok
}

// common is the behaviour before it is known who binds.
func (v *SMSC) common() Behaviour {
	now := time.Since(v.started)
	v.mu.Lock()
	b := v.base
	v.mu.Unlock()
	for _, p := range v.settings.Phases {
		if p.active(now) && p.Account == "" {
			b = p.Behaviour.over(b)
		}
	}
	return b.over(plain())
}

func (p Phase) active(now time.Duration) bool {
	at := now - p.After.Std()
	if at < 0 {
		return false
	}
	if p.Every > 0 {
		at %= p.Every.Std()
	}
	return p.For == 0 || at < p.For.Std()
}

// change is how long it takes until the phase begins or ends.
func (p Phase) change(now time.Duration) (time.Duration, bool) {
	at := now - p.After.Std()
	if at < 0 {
		return -at, true
	}
	if p.For == 0 {
		return 0, false
	}
	if p.Every > 0 {
		at %= p.Every.Std()
		if at >= p.For.Std() {
			return p.Every.Std() - at, true
		}
	}
	if at >= p.For.Std() {
		return 0, false
	}
	return p.For.Std() - at, true
}
