package xmpp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/xmpp"
)

const (
	// selfPingEvery is how often a room is asked whether we are still in it: falling
	// out is silent (XEP-0410).
	selfPingEvery   = 5 * time.Minute
	selfPingTimeout = 30 * time.Second
	// minRejoin and maxRejoin bound the wait before a room is entered again; it doubles
	// while we do not stay for stableAfter.
	minRejoin = 2 * time.Second
	maxRejoin = 5 * time.Minute
	roomTick  = time.Second
	// clockMargin is how far a room's clock may be from ours: what was said so long before
	// the last message seen is asked for again, and recognised.
	clockMargin = 10 * time.Second
	maxNick     = 10 // tries
	maxRealJIDs = 10_000
)

// rooms are the group chats (XEP-0045).
type rooms struct {
	selfPing time.Duration
	run      *run

	mu      sync.Mutex
	list    map[xmpp.JID]*room
	changed chan struct{} // closed when a room changed
}

type room struct {
	jid      xmpp.JID
	nick     string
	tries    int
	asked    time.Time     // when we asked to enter, or had to leave; zero before
	wait     time.Duration // from then until we ask again
	joined   bool          // our own presence came
	locked   bool          // we made it: nobody else can enter until it is configured
	joinedAt time.Time
	first    time.Time // when we entered for the first time; before it nothing was for us
	open     bool      // and the subject, or a message of now: history is over
	pinged   time.Time
	lastSeen time.Time // of the last message
	since    time.Time // what was asked for when entering; zero is no history
	real     map[string]string
}

func newRooms(r *run, selfPing time.Duration) *rooms {
	list := map[xmpp.JID]*room{}
	for _, text := range r.options.Rooms {
		j, _ := xmpp.ParseJID(text) // checked
		list[j] = &room{jid: j, real: map[string]string{}}
	}
	return &rooms{run: r, selfPing: selfPing, list: list, changed: make(chan struct{})}
}

func (g *rooms) change() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// isIn says that a room is one of ours.
func (g *rooms) isIn(j xmpp.JID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.list[j] != nil
}

// keep enters the rooms, and looks whether we are in them, until ctx ends.
func (g *rooms) keep(ctx context.Context, s *xmpp.Session) {
	if len(g.list) == 0 {
		return
	}
	g.mu.Lock()
	for _, one := range g.list {
		one.pinged, one.tries, one.wait = time.Time{}, 0, 0
		if !s.Resumed() {
			one.asked, one.joined, one.open = time.Time{}, false, false
		}
	}
	g.mu.Unlock()
	tick := time.NewTicker(roomTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, one := range g.list {
			g.look(ctx, s, one)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// look enters a room, or asks whether we are in it, when it is time.
func (g *rooms) look(ctx context.Context, s *xmpp.Session, one *room) {
	g.mu.Lock()
	enter := !one.joined && time.Since(one.asked) > one.wait
	ping := one.joined && time.Since(one.pinged) > g.selfPing
	if enter {
		one.enter(g.run.about.name)
	}
	if ping {
		one.pinged = time.Now()
	}
	unlock := one.locked
	one.locked = false
	stanza, self := one.presence(), one.self()
	g.mu.Unlock()
	if enter {
		_ = s.Send(stanza, nil)
	}
	if unlock {
		g.unlock(ctx, s, one.jid)
	}
	if ping && !isThere(ctx, s, self) {
		g.leave(one, "vanished", "fell out of the room without a word")
	}
}

func (one *room) enter(name string) {
	one.asked, one.open = time.Now(), false
	if !one.lastSeen.IsZero() {
		one.since = one.lastSeen.Add(-clockMargin).Truncate(time.Second)
	}
	one.wait = min(max(2*one.wait, minRejoin), maxRejoin)
	if one.nick == "" {
		one.nick = xmpp.Clean(name)
	}
}

func (one *room) self() string {
	return xmpp.JID{Local: one.jid.Local, Domain: one.jid.Domain, Resource: one.nick}.String()
}

// presence asks to enter: with what was said since the last message seen, or without
// any history.
func (one *room) presence() *xmpp.Element {
	history := xmpp.New(xmpp.NSMUC, "history").Set("maxstanzas", "0")
	if !one.since.IsZero() {
		history = xmpp.New(xmpp.NSMUC, "history").Set("since", one.since.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return xmpp.New(xmpp.NSClient, "presence", xmpp.New(xmpp.NSMUC, "x", history)).Set("to", one.self())
}

// unlock takes a room that we made as it is, which lets others in (XEP-0045 §10.1.2).
func (g *rooms) unlock(ctx context.Context, s *xmpp.Session, room xmpp.JID) {
	asking, cancel := context.WithTimeout(ctx, selfPingTimeout)
	defer cancel()
	form := xmpp.New(xmpp.NSForms, "x").Set("type", "submit")
	if _, err := s.IQ(asking, xmpp.IQ(room.String(), "set", xmpp.New(xmpp.NSMUCOwner, "query", form))); err != nil {
		g.run.logger.Warn("a room that was made anew lets nobody in until its owner configures it", "room", room.String(), "error", err)
	}
}

// isThere pings ourselves through a room (XEP-0410 §3). item-not-found may mean that we
// have another name there, or that there is no such room: entering is right for both.
func isThere(ctx context.Context, s *xmpp.Session, self string) bool {
	asking, cancel := context.WithTimeout(ctx, selfPingTimeout)
	defer cancel()
	_, err := s.IQ(asking, xmpp.IQ(self, "get", xmpp.New(xmpp.NSPing, "ping")))
	refused, is := errors.AsType[*xmpp.StanzaError](err)
	if !is {
		return true // an answer, or none: nobody knows
	}
	return refused.Condition == "service-unavailable" || refused.Condition == "feature-not-implemented"
}

// left notes that we are in a room no more.
func (g *rooms) left(one *room) {
	if one.joined && time.Since(one.joinedAt) > stableAfter {
		one.wait = 0
	}
	one.joined, one.open, one.asked = false, false, time.Now()
	g.change()
}

func (g *rooms) leave(one *room, kind, why string) {
	g.mu.Lock()
	g.left(one)
	g.mu.Unlock()
	g.run.statuses.Tell(one.jid.String(), message.Degraded, kind, fmt.Sprintf("room %s: %s; it is entered again", one.jid, why))
}

// awaitJoined waits until we are in a room.
func (g *rooms) awaitJoined(ctx context.Context, j xmpp.JID) error {
	late := time.NewTimer(roomTimeout)
	defer late.Stop()
	for {
		g.mu.Lock()
		one, changed := g.list[j.Bare()], g.changed
		joined := one != nil && one.joined
		g.mu.Unlock()
		switch {
		case one == nil:
			return message.Permanent(fmt.Errorf("group: this worker is not in the room %s; add it to rooms", j))
		case joined:
			return nil
		}
		select {
		case <-changed:
		case <-late.C:
			return fmt.Errorf("room %s did not let us in within %s", j, roomTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// why are the status codes of XEP-0045 §15.6 for leaving.
var why = map[string]string{
	"301": "banned", "307": "kicked", "321": "affiliation", "322": "members_only", "332": "shutdown",
}

// takePresence takes a room's presence; false is that it comes from no room of ours.
func (g *rooms) takePresence(e *xmpp.Element) bool {
	from := e.From()
	g.mu.Lock()
	one := g.list[from.Bare()]
	if one == nil {
		g.mu.Unlock()
		return false
	}
	user := e.Child(xmpp.NSMUCUser, "x")
	ours := from.Resource == one.nick
	var left, reason string
	for _, c := range childrenOf(user) {
		switch code := c.Attr("code"); {
		case c.Name == "status" && code == "110":
			ours = true
		case c.Name == "status" && code == "201":
			one.locked = true
		case c.Name == "status" && why[code] != "":
			left = why[code]
		case c.Name == "item" && c.Attr("jid") != "" && len(one.real) < maxRealJIDs:
			one.real[from.Resource] = c.Attr("jid")
			reason = c.ChildText(xmpp.NSMUCUser, "reason")
		}
	}
	defer g.mu.Unlock()
	switch kind := e.Attr("type"); {
	case kind == "error":
		g.refused(one, xmpp.ErrorOf(e))
	case kind == "unavailable" && ours:
		g.left(one)
		if left == "" {
			left = "left"
		}
		g.run.statuses.Tell(one.jid.String(), message.Degraded, left, fmt.Sprintf("room %s: %s %s", one.jid, left, reason))
	case kind == "unavailable":
		delete(one.real, from.Resource)
	case ours && !one.joined:
		one.joined, one.nick, one.tries, one.pinged, one.joinedAt = true, from.Resource, 0, time.Now(), time.Now()
		if one.first.IsZero() {
			one.first = one.joinedAt.Truncate(time.Second) // as stamps are
		}
		g.change()
		g.run.statuses.Tell(one.jid.String(), message.OK, "joined", fmt.Sprintf("in room %s as %s", one.jid, one.nick))
	}
	return true
}

// refused takes a room's no: another name where ours is taken.
func (g *rooms) refused(one *room, e *xmpp.StanzaError) {
	if e.Condition == "conflict" && one.tries < maxNick {
		one.tries++
		one.nick += "_"
		one.asked, one.wait = time.Time{}, 0 // at once
		return
	}
	g.run.statuses.Tell(one.jid.String(), message.Degraded, e.Condition, fmt.Sprintf("room %s does not let us in: %v", one.jid, e))
}

func childrenOf(e *xmpp.Element) []*xmpp.Element {
	if e == nil {
		return nil
	}
	return e.Children
}

// take takes what was said in a room. Our own words come back, and prove that the room
// has them.
func (g *rooms) take(ctx context.Context, e *xmpp.Element) error {
	from, written := e.From(), delayOf(e)
	g.mu.Lock()
	one := g.list[from.Bare()]
	if one == nil || from.Resource == "" {
		g.mu.Unlock()
		g.run.metrics.count("no_room")
		return nil
	}
	ours := from.Resource == one.nick
	real := one.real[from.Resource]
	old := !written.IsZero() && (one.since.IsZero() || written.Before(one.first) || one.open)
	at := time.Now()
	if !written.IsZero() {
		at = written
	}
	if at.After(one.lastSeen) && !old {
		one.lastSeen = at
	}
	if written.IsZero() {
		one.open = true
	}
	g.mu.Unlock()
	switch {
	case ours:
		g.reflected(e)
		return nil
	case old:
		g.run.metrics.count("history")
		return nil
	}
	m, _ := g.run.inbound(e)
	m.Group, m.To = from.Bare().String(), g.run.jid.String()
	m.From = from.String()
	if j, err := xmpp.ParseJID(real); err == nil {
		m.From = j.Bare().String()
		m.TransportMetadata.Set("xmpp_nick", from.Resource)
	}
	copied, err := g.run.copies.do(ctx, e, g.run.maybeCopy(written), func() error { return g.run.publisher.Inbound(ctx, m) })
	if err == nil && !copied {
		g.run.metrics.count("group")
	}
	return err
}

// reflected finds the message that a room shows: by its id, or its origin-id where the
// room gives ids of its own.
func (g *rooms) reflected(e *xmpp.Element) {
	for _, id := range [...]string{e.Attr("id"), e.Child(xmpp.NSStanzaID, "origin-id").Attr("id")} {
		if out := g.run.sent.flying(id); out != nil && out.room && out.to == e.From().Bare() {
			out.settle(nil)
			return
		}
	}
}
