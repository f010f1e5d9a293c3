package xmpp

import (
	"context"
	"strings"
	"sync"
	"time"

	"switchboard/internal/backoff"
	"switchboard/store"
	"switchboard/xmpp"
)

const (
	rosterTimeout = 20 * time.Second
	// pageOf is how many subscribers are read from the state store at once.
	pageOf = 500
)

// presence keeps who sees the account: an account's roster is its server's, a
// component's subscribers are in the state store.
type presence struct {
	run *run

	mu     sync.Mutex
	roster map[xmpp.JID]contact // of an account
}

type contact struct {
	subscription string // none, to, from, both
	asked        bool   // we asked to see them
}

func newPresence(r *run) *presence {
	return &presence{run: r, roster: map[xmpp.JID]contact{}}
}

// begin reads the roster, which the server then keeps current by pushes, and shows
// the account.
func (p *presence) begin(ctx context.Context, s *xmpp.Session) error {
	if p.run.options.Component != "" || s.Resumed() {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, rosterTimeout)
	defer cancel()
	answer, err := s.IQ(asking, xmpp.IQ("", "get", xmpp.New(xmpp.NSRoster, "query")))
	if err == nil {
		p.mu.Lock()
		clear(p.roster)
		p.mu.Unlock()
		p.take(answer.Child(xmpp.NSRoster, "query"))
	}
	p.run.about.publish(ctx, s)
	_ = s.Send(p.available(), nil) // its failure ends the session
	return err
}

// keep sends the presence again where that is asked for, or a component's to its
// subscribers, until ctx ends.
func (p *presence) keep(ctx context.Context, s *xmpp.Session) {
	if p.run.options.Component != "" {
		p.eachSubscriber(ctx, func(ours, person string) {
			_ = s.Send(p.available().Set("from", ours).Set("to", person), nil)
			backoff.Sleep(ctx, time.Second/time.Duration(p.run.options.PresenceRate))
		})
		return
	}
	every := p.run.options.PresenceInterval.Std()
	for every > 0 && backoff.Sleep(ctx, every) {
		_ = s.Send(p.available(), nil)
	}
}

// leave tells the subscribers of a component that it goes; an account's server does
// that.
func (p *presence) leave(s *xmpp.Session) {
	if p.run.options.Component == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.run.work, time.Second)
	defer cancel()
	p.eachSubscriber(ctx, func(ours, person string) {
		_ = s.Send(xmpp.New(xmpp.NSClient, "presence").Set("type", "unavailable").Set("from", ours).Set("to", person), nil)
	})
}

func (p *presence) available() *xmpp.Element {
	e := xmpp.New(xmpp.NSClient, "presence")
	if show := p.run.options.Status; show != "" {
		e.Add(xmpp.NewText(xmpp.NSClient, "show", show))
	}
	if text := p.run.options.StatusMessage; text != "" {
		e.Add(xmpp.NewText(xmpp.NSClient, "status", text))
	}
	return e.Add(p.run.about.caps(), p.run.about.avatarHash())
}

// take takes the roster, or a change of it.
func (p *presence) take(query *xmpp.Element) {
	if query == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := 0
	for _, item := range query.Children {
		j, err := xmpp.ParseJID(item.Attr("jid"))
		if err != nil {
			continue
		}
		if item.Attr("subscription") == "remove" {
			delete(p.roster, j.Bare())
			continue
		}
		p.roster[j.Bare()] = contact{item.Attr("subscription"), item.Attr("ask") == "subscribe"}
	}
	for _, c := range p.roster {
		if c.subscription == "from" || c.subscription == "both" {
			seen++
		}
	}
	p.run.metrics.people.Set(float64(seen))
}

// takePresence answers who asks to see us, and who asks how we are. It never answers
// a presence with a presence: two that did would not end.
func (r *run) takePresence(e *xmpp.Element) {
	s, from, to := r.current(), e.From(), e.To()
	if from.IsZero() || r.isOurs(from) || r.rooms.takePresence(e) || s == nil {
		return
	}
	answer := func(kind string) {
		_ = s.Send(xmpp.New(xmpp.NSClient, "presence").Set("type", kind).Set("to", from.Bare().String()).Set("from", r.speaker(to)), nil)
	}
	switch e.Attr("type") {
	case "subscribe":
		if !r.options.AcceptSubscriptions {
			answer("unsubscribed")
			return
		}
		answer("subscribed")
		r.presence.subscribed(s, from.Bare(), to.Bare(), answer)
	case "unsubscribe":
		answer("unsubscribed")
		r.presence.unsubscribed(from.Bare(), to.Bare(), answer)
	case "probe":
		if r.options.Component != "" {
			_ = s.Send(r.presence.available().Set("from", r.speaker(to)).Set("to", from.Bare().String()), nil)
		}
	}
}

// speaker is whom a component speaks as; an account's server knows.
func (r *run) speaker(to xmpp.JID) string {
	if r.options.Component == "" {
		return ""
	}
	return to.Bare().String()
}

// subscribed asks to see somebody who asked to see us, unless we do or have asked:
// two that accept everybody would ask each other for ever.
func (p *presence) subscribed(s *xmpp.Session, person, ours xmpp.JID, answer func(kind string)) {
	if p.run.options.Component == "" {
		p.mu.Lock()
		c := p.roster[person]
		asks := !c.asked && c.subscription != "to" && c.subscription != "both"
		if asks {
			c.asked = true
			p.roster[person] = c
		}
		p.mu.Unlock()
		if asks {
			answer("subscribe")
		}
		return
	}
	p.remember("subscribing", func(ctx context.Context) error {
		_, added, err := p.run.state.Add(ctx, store.Entry{Key: p.key(ours, person), Value: "from"})
		if added && err == nil {
			answer("subscribe")
		}
		_ = s.Send(p.available().Set("from", ours.String()).Set("to", person.String()), nil)
		return err
	})
}

func (p *presence) unsubscribed(person, ours xmpp.JID, answer func(kind string)) {
	if p.run.options.Component == "" {
		answer("unsubscribe")
		return
	}
	p.remember("unsubscribing", func(ctx context.Context) error { return p.run.state.Delete(ctx, p.key(ours, person)) })
}

func (p *presence) remember(what string, work func(ctx context.Context) error) {
	p.run.inLane("\x00subscribers", func() {
		if err := work(p.run.work); err != nil && p.run.work.Err() == nil {
			p.run.logger.Warn("remembering a subscriber failed; they are not told of our coming and going", "at", what, "error", err)
		}
	})
}

func (p *presence) prefix() string { return p.run.options.TransportName + "/subscribers/" }

func (p *presence) key(ours, person xmpp.JID) string {
	return p.prefix() + ours.String() + " " + person.String()
}

func (p *presence) eachSubscriber(ctx context.Context, do func(ours, person string)) {
	from, to, n := p.prefix(), p.prefix()+"\xff", 0
	for ctx.Err() == nil {
		page, err := p.run.state.Range(ctx, from, to, pageOf)
		if err != nil {
			if ctx.Err() == nil {
				p.run.logger.Warn("reading the subscribers failed; they are not told of our coming and going", "error", err)
			}
			return
		}
		for _, e := range page {
			ours, person, _ := strings.Cut(strings.TrimPrefix(e.Key, p.prefix()), " ")
			if ctx.Err() != nil {
				return
			}
			do(ours, person)
		}
		n += len(page)
		p.run.metrics.people.Set(float64(n))
		if len(page) < pageOf {
			return
		}
		from = page[len(page)-1].Key + "\x00"
	}
}
