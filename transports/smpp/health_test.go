package smpp

import (
	"testing"

	"switchboard/message"
	"switchboard/smpp/simulator"
)

// nextAbout is the next status of a type.
func (b *bundle) nextAbout(kind string) *message.Status {
	b.Helper()
	for {
		if s := b.nextStatus(); s.Type == kind {
			return s
		}
	}
}

// One of several binds that is lost makes a transport degraded, not down.
func TestHealthOfSeveralBinds(t *testing.T) {
	b := start(t, simulator.Settings{}, func(o *Transport) { o.Binds = 2 })
	s := b.nextAbout("bound")
	for ; s.Health == message.Degraded; s = b.nextAbout("bound") { // one of two, unless both bind at once
	}
	if s.Health != message.OK {
		t.Errorf("with two of two bound: %s", s.Encode())
	}
	if err := b.smsc.WaitBound(within(t), 2); err != nil {
		t.Fatal(err)
	}
	b.smsc.Sessions()[0].Abort(nil)
	if s := b.nextAbout("connection_lost"); s.Health != message.Degraded {
		t.Errorf("with one of two lost: %s", s.Encode())
	}
	if s := b.nextAbout("bound"); s.Health != message.OK {
		t.Errorf("with two of two again: %s", s.Encode())
	}
	_ = b.smsc.Close()
	if s := b.nextAbout("connection_refused"); s.Health != message.Down {
		t.Errorf("with nothing to connect to: %s", s.Encode())
	}
}
