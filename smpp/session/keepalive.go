package session

import (
	"time"

	"switchboard/smpp/pdu"
)

// keep looks after the session's clocks until it stops.
func (s *Session) keep() error {
	ticker := time.NewTicker(s.tick())
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.expire(now)
			if reason := s.overdue(now); reason != nil {
				return reason
			}
		case <-s.stopping:
			return nil
		}
	}
}

// tick is how often to look: often enough for the shortest of the time-outs.
func (s *Session) tick() time.Duration {
	d := longestTick
	for _, timeout := range []time.Duration{
		s.settings.BindTimeout, s.settings.ResponseTimeout, s.settings.EnquireInterval,
	} {
		if timeout > 0 {
			d = min(d, timeout/10)
		}
	}
	return max(d, shortestTick)
}

// overdue says why the session must end now, nil when it need not.
func (s *Session) overdue(now time.Time) error {
	switch {
	case s.frozen.Load():
		return nil
	case s.Peer().bound():
		return s.enquire(now)
	case now.Sub(s.opened) > s.settings.BindTimeout:
		return ErrBindTimeout
	}
	return nil
}

// enquire asks a silent peer whether it is there (§4.11). Whatever comes is an
// answer.
func (s *Session) enquire(now time.Time) error {
	heard := time.Unix(0, s.heard.Load())
	if !s.enquired.IsZero() {
		if heard.After(s.enquired) {
			s.enquired = time.Time{}
		} else if now.Sub(s.enquired) > s.settings.EnquireTimeout {
			return ErrSilent
		}
		return nil
	}
	if s.settings.EnquireInterval < 0 || now.Sub(heard) < s.settings.EnquireInterval {
		return nil
	}
	s.enquired = now
	_ = s.send(new(pdu.EnquireLink), false, s.settings.ResponseTimeout, func(*pdu.PDU, error) {})
	return nil
}

// Freeze stops the session's clocks: it asks for no sign of life any more, and
// is never overdue. It is for simulators of peers that died without a word.
func (s *Session) Freeze() { s.frozen.Store(true) }
