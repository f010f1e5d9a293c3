package simulator

import (
	"math/rand/v2"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// handler is the simulator as its server calls it.
type handler struct{ *SMSC }

var (
	_ session.Acceptor    = handler{}
	_ session.Interceptor = handler{}
)

// Opened gives the connection its number and its random source.
func (h handler) Opened(s *session.Session) {
	h.mu.Lock()
	h.connects++
	number := h.connects
	h.mu.Unlock()
	b := &bind{session: s, number: number, random: rand.New(rand.NewPCG(h.settings.Seed, uint64(number)))}
	if h.common().Binds.Silent {
		b.hang()
	}
	s.Tag = b
	h.ledger.opened(b)
}

// Intercept counts and records what comes, and passes over what is not to be
// answered.
func (h handler) Intercept(s *session.Session, p *pdu.PDU) bool {
	b := s.Tag.(*bind)
	b.wait()
	h.ledger.received(b, p)
	if h.settings.Hook != nil && h.settings.Hook(s, p) || b.hung.Load() {
		h.ledger.unanswered(b, p)
		return true
	}
	links := h.links(b)
	switch p.Command() {
	case pdu.CmdEnquireLink:
		return links.IgnoreEnquire
	case pdu.CmdUnbind:
		return links.IgnoreUnbind
	}
	if links.DropAt != "" && links.DropAt == p.Command().String() {
		h.ledger.unanswered(b, p)
		h.drop(b)
		return true
	}
	return false
}

func (h handler) links(b *bind) *Links {
	if b.account != nil {
		return b.account.behaviour.Load().Links
	}
	return h.common().Links
}

// Bind lets those in who have an account, unless the behaviour refuses them.
func (h handler) Bind(s *session.Session, p *pdu.Bind) session.Grant {
	b := s.Tag.(*bind)
	status := h.admit(b, p)
	h.ledger.bind(b, p, status)
	if status != pdu.StatusOK {
		return session.Grant{Status: status}
	}
	return session.Grant{Window: b.account.behaviour.Load().Delivery.Window}
}

func (h handler) admit(b *bind, p *pdu.Bind) pdu.Status {
	a := h.account(p.SystemID)
	switch {
	case a == nil:
		return pdu.StatusInvSysID
	case a.conf.Password != "" && a.conf.Password.Reveal() != p.Password:
		return pdu.StatusInvPaswd
	case p.ID == pdu.CmdBindTransceiver && h.settings.version() < pdu.Version34:
		return pdu.StatusInvCmdID // SMPP 3.3 has none
	}
	conf := a.behaviour.Load().Binds
	b.pause(conf.Delay.draw(b.random))
	if status := h.refuse(b, conf); status != pdu.StatusOK {
		return status
	}
	if !a.join(a.conf.MaxBinds) {
		return pdu.StatusAlyBnd
	}
	b.account = a
	return pdu.StatusOK
}

func (h handler) refuse(b *bind, conf *Binds) pdu.Status {
	if conf.Refuse == 0 || conf.Rate > 0 && !b.chance(conf.Rate) {
		return pdu.StatusOK
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if conf.First > 0 && h.refused >= conf.First {
		return pdu.StatusOK
	}
	h.refused++
	return pdu.Status(conf.Refuse)
}

// pause holds the connection up.
func (b *bind) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-b.session.Stopping():
	}
}

// wait blocks for good when the connection is not to be read from any more.
func (b *bind) wait() {
	if b.deaf {
		<-b.session.Stopping()
	}
}

// Bound begins to deliver what waits.
func (h handler) Bound(s *session.Session) {
	b := s.Tag.(*bind)
	h.ledger.bound(b)
	if every := b.account.behaviour.Load().Links.DropEvery; !every.zero() {
		h.schedule.after(every.draw(b.random), func() { h.drop(b) })
	}
	if s.Peer().Receives() {
		b.account.receive(b)
	}
}

// Closed forgets the connection; what was on its way to it goes to another.
func (h handler) Closed(s *session.Session, reason error) {
	b := s.Tag.(*bind)
	if b.account != nil {
		b.account.leave(b)
		b.account.pump()
	}
	h.ledger.closed(b)
	h.settings.Logger.Info("session over", "bind", b.number, "reason", reason)
}

func (h handler) drop(b *bind) {
	h.ledger.count(func(c *tally) { c.dropped++ })
	b.session.Abort(errDropped)
}
