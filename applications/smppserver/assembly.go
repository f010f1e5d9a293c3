package smppserver

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// assemble keeps a part; with the last one the message is published, and only
// then that part is answered. A part that came before keeps its id: its answer
// was lost.
func (e *engine) assemble(ctx context.Context, c *customer, in *submission, p gsm.Part, shift gsm.Shift) (id string, err error) {
	key := e.groupKey(c, in, p)
	g, err := e.group(ctx, key)
	if err != nil {
		return "", err
	}
	part := g.part(p.Seq)
	switch {
	case part == nil || !bytes.Equal(part.Payload, p.Payload):
		if g, err = e.join(ctx, c, in, key, g, p); err != nil {
			return "", err
		}
		part = &g.Parts[len(g.Parts)-1]
		if !g.whole() {
			return part.ID, e.keepGroup(ctx, key, g)
		}
	case g.Over:
		part.Again = true
		return part.ID, e.keepGroup(ctx, key, g)
	case !g.whole():
		return part.ID, nil
	}
	id = part.ID
	return id, e.complete(ctx, c, in, key, g, shift)
}

// join adds a part to its group, or to a new one: what has another part of its
// number is of another message with the same reference.
func (e *engine) join(ctx context.Context, c *customer, in *submission, key string, g *group, p gsm.Part) (*group, error) {
	id, err := c.newID(ctx, in)
	if err != nil {
		return nil, err
	}
	if g.part(p.Seq) != nil && !g.Over {
		if err := e.giveUp(ctx, c, key, g, "another message has come with its reference"); err != nil {
			return nil, err
		}
		g = nil
	}
	if g == nil || g.Over {
		next := &group{Customer: c.systemID, Source: in.Source, Dests: in.dests, Total: int(p.Total), Parts: g.repeated(p.Seq)}
		if err := e.beginGroup(ctx, c, in, key); err != nil {
			return nil, err
		}
		g = next
	}
	g.Parts = append(g.Parts, groupPart{recordPart: recordPart{id, in.RegisteredDelivery}, Seq: p.Seq, Header: p.HeaderLength, Payload: p.Payload})
	return g, nil
}

// repeated are the parts of a group that is over which came again before another
// part showed that a new message begins like it, with its reference.
func (g *group) repeated(before uint8) (parts []groupPart) {
	if g == nil {
		return nil
	}
	for _, p := range g.Parts {
		if p.Again && p.Seq < before {
			parts = append(parts, p)
		}
	}
	return parts
}

// complete publishes the whole message. When that fails, or the process ends
// meanwhile, the parts stay, for any of them to be submitted again.
func (e *engine) complete(ctx context.Context, c *customer, in *submission, key string, g *group, shift gsm.Shift) error {
	w := whole{submission: in, shift: shift, again: g.Messages != nil}
	slices.SortFunc(g.Parts, func(a, b groupPart) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, p := range g.Parts {
		w.parts = append(w.parts, gsm.Part{Total: uint8(g.Total), Seq: p.Seq, HeaderLength: p.Header, Payload: p.Payload})
		w.records = append(w.records, p.recordPart)
		w.RegisteredDelivery |= p.Registered
	}
	if !w.again {
		g.Messages = in.messageIDs(g.Parts[0])
		entry, err := e.groupEntry(key, g)
		if err != nil {
			return err
		}
		w.with = []store.Entry{entry}
	}
	w.ids = g.Messages
	if err := e.publish(ctx, c, &w); err != nil {
		return err
	}
	if err := e.endGroup(ctx, c, key, g, nil); err != nil {
		e.log.Warn("noting that all parts of a message have come failed; it is found out when they would be given up", "customer", c.systemID, "error", err)
	}
	return nil
}

// giveUp lets the parts of a message go, and says so in receipts where they
// were asked for.
func (e *engine) giveUp(ctx context.Context, c *customer, key string, g *group, why string) error {
	out, err := e.wentOut(ctx, g)
	switch {
	case err != nil:
		return err
	case out:
		return e.endGroup(ctx, c, key, g, nil)
	}
	e.log.Warn("the parts of a message are let go", "customer", g.Customer, "parts", len(g.Parts), "of", g.Total, "reason", why)
	r := record{Customer: g.Customer, Source: g.Source, Dest: g.Dests[0], State: pdu.StateExpired, Submitted: time.Now(), Done: time.Now()}
	for _, p := range g.Parts {
		r.Parts = append(r.Parts, p.recordPart)
	}
	g.Parts = nil // those that come again are of a new attempt
	return e.endGroup(ctx, c, key, g, c.receipts(&r))
}

// endGroup keeps the parts for those that come again, with receipts where there
// are any, and forgets that they wait.
func (e *engine) endGroup(ctx context.Context, c *customer, key string, g *group, receipts []letter) error {
	g.Over = true
	entry, err := e.groupEntry(key, g)
	switch {
	case err != nil:
		return err
	case len(receipts) > 0:
		err = c.box.deposit(ctx, receipts, entry)
	default:
		err = e.state.Set(ctx, entry)
	}
	if err == nil {
		e.forgetSlot(c, key)
	}
	return err
}

// wentOut says whether the fleet has told anything of a group's messages: then
// the broker had them, and only the note of it is missing.
func (e *engine) wentOut(ctx context.Context, g *group) (bool, error) {
	for _, id := range g.Messages {
		r, err := e.record(ctx, id)
		if err != nil || r != nil && r.State != pdu.StateAccepted {
			return err == nil, err
		}
	}
	return false, nil
}
