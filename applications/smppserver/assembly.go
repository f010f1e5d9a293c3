package smppserver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports/smpp/gsm"
	"switchboard/transports/smpp/pdu"
)

// group is a long message of which parts are missing, as the state store has
// it. Each part was answered when it was safe there. One lane works on a group
// at a time.
type group struct {
	Customer string        `json:"customer"`
	Source   pdu.Address   `json:"source"`
	Dests    []pdu.Address `json:"dests"`
	Total    int           `json:"total"`
	Parts    []groupPart   `json:"parts"`
}

type groupPart struct {
	recordPart
	Seq     uint8  `json:"seq"`
	Header  int    `json:"header,omitempty"` // octets of the user data header
	Payload []byte `json:"payload"`
}

func (e *engine) groupKey(c *customer, in *submission, p gsm.Part) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%t\x00%d", in.Source.Addr, in.people(), p.Reference, p.Wide, p.Total))
	return e.prefix + "group/" + c.systemID + "/" + hex.EncodeToString(sum[:16])
}

// assemble keeps a part; with the last one the message is published, and only
// then that part is answered.
func (e *engine) assemble(ctx context.Context, c *customer, in *submission, p gsm.Part, shift gsm.Shift) (id string, err error) {
	key := e.groupKey(c, in, p)
	g, err := e.group(ctx, key)
	if err != nil {
		return "", err
	}
	if g != nil {
		if i := slices.IndexFunc(g.Parts, func(has groupPart) bool { return has.Seq == p.Seq }); i >= 0 {
			if bytes.Equal(g.Parts[i].Payload, p.Payload) {
				return g.Parts[i].ID, nil // it came before, and its answer was lost
			}
			if err := e.giveUp(ctx, key, g, "another message has come with its reference"); err != nil {
				return "", err
			}
			g = nil
		}
	}
	if g == nil {
		g = &group{Customer: c.systemID, Source: in.Source, Dests: in.dests, Total: int(p.Total)}
		if err := e.beginGroup(ctx, key); err != nil {
			return "", err
		}
	}
	if id, err = c.newID(ctx, in); err != nil {
		return "", err
	}
	part := groupPart{recordPart{id, in.RegisteredDelivery}, p.Seq, p.HeaderLength, p.Payload}
	g.Parts = append(g.Parts, part)
	if len(g.Parts) < g.Total {
		return part.ID, e.keepGroup(ctx, key, g)
	}
	return part.ID, e.complete(ctx, c, in, key, g, shift)
}

func (e *engine) group(ctx context.Context, key string) (*group, error) {
	found, err := e.state.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking for the other parts of a message: %w", err)
	}
	g := new(group)
	if text, there := found[key]; !there || json.Unmarshal([]byte(text), g) != nil {
		return nil, nil
	}
	return g, nil
}

// groupTTL is longer than the parts wait for each other, so that they are there
// when they are given up.
func (e *engine) groupTTL() time.Duration { return 2*e.options.ReassemblyTTL.Std() + time.Minute }

func (e *engine) keepGroup(ctx context.Context, key string, g *group) error {
	text, err := json.Marshal(g)
	if err != nil {
		return message.Permanent(err)
	}
	if err := e.state.Set(ctx, store.Entry{Key: key, Value: string(text), TTL: e.groupTTL()}); err != nil {
		return fmt.Errorf("keeping a part of a message: %w", err)
	}
	return nil
}

// complete publishes the whole message. When that fails the other parts stay,
// for the last to be submitted again.
func (e *engine) complete(ctx context.Context, c *customer, in *submission, key string, g *group, shift gsm.Shift) error {
	w := whole{submission: in, shift: shift}
	slices.SortFunc(g.Parts, func(a, b groupPart) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, p := range g.Parts {
		w.parts = append(w.parts, gsm.Part{Total: uint8(g.Total), Seq: p.Seq, HeaderLength: p.Header, Payload: p.Payload})
		w.records = append(w.records, p.recordPart)
		w.RegisteredDelivery |= p.Registered
	}
	if err := e.publish(ctx, c, &w); err != nil {
		return err
	}
	if err := e.state.Delete(ctx, append(e.groups.end(key), key)...); err != nil {
		e.log.Warn("forgetting the parts of a message failed; they go by themselves", "customer", c.systemID, "error", err)
	}
	return nil
}

// giveUp lets the parts of a message go, and says so in receipts where they
// were asked for.
func (e *engine) giveUp(ctx context.Context, key string, g *group, why string) error {
	c := e.customers[g.Customer]
	if c == nil {
		return e.forgetGroup(ctx, key)
	}
	e.log.Warn("the parts of a message are let go", "customer", g.Customer, "parts", len(g.Parts), "of", g.Total, "reason", why)
	r := record{Customer: g.Customer, Source: g.Source, Dest: g.Dests[0], State: pdu.StateExpired, Submitted: time.Now(), Done: time.Now()}
	for _, p := range g.Parts {
		r.Parts = append(r.Parts, p.recordPart)
	}
	if letters := c.receipts(&r); len(letters) > 0 {
		if err := c.box.deposit(ctx, letters); err != nil {
			return err
		}
	}
	return e.forgetGroup(ctx, key)
}
