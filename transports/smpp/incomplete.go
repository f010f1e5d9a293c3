package smpp

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"switchboard/store"
)

// How many of the latest groups a process that starts looks for, and how many
// at once.
const (
	maxSlots  = 10_000
	slotBatch = 500
)

// load finds the groups that were open when the last process stopped.
func (c *concat) load(ctx context.Context) {
	last, err := c.state.Increment(ctx, c.keys.prefix+"concat-slots", 0, 0)
	for from := max(1, last-maxSlots); err == nil && from <= last; from += slotBatch {
		err = c.loadSlots(ctx, from, min(from+slotBatch-1, last))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		c.logger.Warn("looking for unfinished messages failed; their parts may go unreported", "error", err)
	}
}

func (c *concat) loadSlots(ctx context.Context, from, to int64) error {
	var keys []string
	for slot := from; slot <= to; slot++ {
		keys = append(keys, c.slotKey(slot))
	}
	found, err := c.state.Get(ctx, keys...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		var g openGroup
		if text, there := found[key]; there && json.Unmarshal([]byte(text), &g) == nil {
			if _, known := c.open[g.Name]; !known {
				c.open[g.Name] = g
			}
		}
	}
	return nil
}

// sweep receives what is there of messages whose other parts have not come.
func (c *concat) sweep(ctx context.Context) {
	for _, g := range c.due(time.Now()) {
		if err := c.giveUp(ctx, g); err != nil && ctx.Err() == nil {
			if !errors.Is(err, errElsewhere) {
				c.logger.Warn("receiving an incomplete message failed; trying again", "error", err)
			}
			c.mu.Lock()
			g.Deadline = time.Now().Add(retryPartial)
			c.open[g.Name] = g
			c.mu.Unlock()
		}
	}
}

const (
	// retryPartial is when a group whose giving up failed is looked at again, here
	// or by another process.
	retryPartial = 10 * time.Second
	// giveUpTimeout is how long the broker may take; after it another process may try.
	giveUpTimeout = 8 * time.Second
)

func (c *concat) due(now time.Time) (list []openGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.open {
		if g.Deadline.Before(now) {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b openGroup) int { return a.Deadline.Compare(b.Deadline) })
	return list
}

// errElsewhere: another process is giving a group up.
var errElsewhere = errors.New("another process is receiving the incomplete message")

// giveUp receives what is there of a message. Another process may have done so,
// and may have begun another of the same name, with time of its own.
func (c *concat) giveUp(ctx context.Context, g openGroup) error {
	ctx, cancel := context.WithTimeout(ctx, giveUpTimeout)
	defer cancel()
	found, err := c.look(ctx, g.Name, g.Total)
	if err != nil {
		return err
	}
	if found.group == nil || found.group.Slot != g.Slot || len(found.parts) == 0 {
		c.drop(g)
		return nil
	}
	_, mine, err := c.state.Add(ctx, store.Entry{Key: c.slotKey(g.Slot) + "/over", TTL: retryPartial})
	switch {
	case err != nil:
		return err
	case !mine:
		return errElsewhere
	}
	if len(found.parts) < g.Total {
		c.logger.Warn("parts of a message never came; receiving what is there", "message_id", g.ID, "parts", len(found.parts), "of", g.Total)
	}
	return c.complete(ctx, g, found.parts)
}
