package smppserver

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// groups are the long messages of which parts are missing, to be given up one
// day. Each is noted in a numbered slot of the state store, for a process that
// starts anew to find it.
type groups struct {
	mu   sync.Mutex
	open map[string]openGroup // by the group's key
}

type openGroup struct {
	Key      string    `json:"key"`
	Customer string    `json:"customer"`
	People   string    `json:"people"` // the customer's lane that works on it
	Deadline time.Time `json:"deadline"`
	slot     string    // the slot's key
}

const (
	// maxGroups bounds how many there may be; more are asked to come later.
	maxGroups = 100_000
	// maxSlots is how many of the last slots a process that starts looks at.
	maxSlots = 10_000
	// giveUpAgain is the wait after a group could not be given up.
	giveUpAgain = 10 * time.Second
)

func (g *groups) add(o openGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = map[string]openGroup{}
	}
	g.open[o.Key] = o
}

func (g *groups) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open) >= maxGroups
}

// end forgets a group and returns the key of its slot, none when there is none.
func (g *groups) end(key string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	o, known := g.open[key]
	if !known {
		return nil
	}
	delete(g.open, key)
	return []string{o.slot}
}

// due are the groups to be given up, which are not due again for a while.
func (g *groups) due(now time.Time) (list []openGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, o := range g.open {
		if o.Deadline.Before(now) {
			list = append(list, o)
			o.Deadline = now.Add(giveUpAgain)
			g.open[key] = o
		}
	}
	return list
}

// has says whether a group is the one that is open still.
func (g *groups) has(o openGroup) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open[o.Key].slot == o.slot
}

func (e *engine) slotsKey() string { return e.prefix + "group-slots" }

func (e *engine) slotKey(n int64) string { return e.prefix + "group-slot/" + strconv.FormatInt(n, 10) }

// beginGroup notes a group before its first part is kept.
func (e *engine) beginGroup(ctx context.Context, c *customer, in *submission, key string) error {
	if e.groups.full() {
		return refusal(pdu.StatusMsgQFul)
	}
	n, err := e.state.Increment(ctx, e.slotsKey(), 1, 0)
	if err != nil {
		return fmt.Errorf("noting a message of several parts: %w", err)
	}
	o := openGroup{
		Key: key, Customer: c.systemID, People: in.people,
		Deadline: time.Now().Add(e.options.ReassemblyTTL.Std()), slot: e.slotKey(n),
	}
	text, err := json.Marshal(o)
	if err != nil {
		return message.Permanent(err)
	}
	if err := e.state.Set(ctx, store.Entry{Key: o.slot, Value: string(text), TTL: e.groupTTL()}); err != nil {
		return fmt.Errorf("noting a message of several parts: %w", err)
	}
	e.groups.add(o)
	return nil
}

func (e *engine) forgetSlot(c *customer, key string) {
	slots := e.groups.end(key)
	e.background(func(ctx context.Context) {
		if err := e.state.Delete(ctx, slots...); err != nil {
			e.log.Info("forgetting that a message waited for its parts failed; that goes by itself", "customer", c.systemID, "error", err)
		}
	})
}

// findGroups looks for those that were open when the last process ended.
func (e *engine) findGroups(ctx context.Context) error {
	last, err := e.state.Increment(ctx, e.slotsKey(), 0, 0)
	for from := max(1, last-maxSlots); err == nil && from <= last; from += fetchAtOnce {
		err = e.findSlots(ctx, from, min(from+fetchAtOnce-1, last))
	}
	return err
}

func (e *engine) findSlots(ctx context.Context, from, to int64) error {
	var keys []string
	for n := from; n <= to; n++ {
		keys = append(keys, e.slotKey(n))
	}
	found, err := e.state.Get(ctx, keys...)
	if err != nil {
		return err
	}
	for key, text := range found {
		o := openGroup{slot: key}
		if json.Unmarshal([]byte(text), &o) == nil {
			e.groups.add(o)
		}
	}
	return nil
}

// giveUpGroups has the groups given up that are due, in the lanes that would add
// parts to them.
func (e *engine) giveUpGroups(now time.Time) {
	for _, o := range e.groups.due(now) {
		c := e.customers[o.Customer]
		if c == nil { // no longer in the file
			e.groups.end(o.Key)
			continue
		}
		if !e.enter() {
			return
		}
		c.lanes.run(o.People, func() {
			defer e.leave()
			ctx, cancel := context.WithTimeout(e.life, e.options.SubmitTimeout.Std())
			defer cancel()
			if err := e.giveUpOpen(ctx, c, o); err != nil {
				e.log.Warn("giving a message up whose parts did not come failed; trying again", "customer", o.Customer, "error", err)
			}
		})
	}
}

func (e *engine) giveUpOpen(ctx context.Context, c *customer, o openGroup) error {
	if !e.groups.has(o) {
		return nil
	}
	g, err := e.group(ctx, o.Key)
	switch {
	case err != nil:
		return err
	case g == nil || g.Over:
		e.forgetSlot(c, o.Key)
		return nil
	}
	return e.giveUp(ctx, c, o.Key, g, "the other parts did not come within reassembly_ttl")
}
