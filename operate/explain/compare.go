package explain

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"switchboard/fleet"
	"switchboard/message"
)

// Difference is what two configurations do otherwise with a sample of messages.
type Difference struct {
	Messages  int `json:"messages"`
	Same      int `json:"same"`
	Elsewhere int `json:"elsewhere"`
	// Stuck would have no way by the new configuration, and have one by the old.
	Stuck int `json:"no_way_any_more"`
	// Freed have a way only by the new one.
	Freed int `json:"way_found"`
	// StuckBefore have no way by either; they count as the same.
	StuckBefore int `json:"no_way_before_either"`
	// Unreadable are lines that are no messages, and WhyUnreadable is what is
	// wrong with the first of them.
	Unreadable    int    `json:"unreadable"`
	WhyUnreadable string `json:"why_unreadable,omitempty"`
	Moves         []Move `json:"moves"`
	// MoreMoves are messages that move in ways beyond those listed.
	MoreMoves int `json:"more_moves,omitempty"`
}

// Move is a number of messages that would go elsewhere.
type Move struct {
	By      string `json:"by"`   // where they come in: connector.flow
	From    string `json:"from"` // where the old configuration takes them
	To      string `json:"to"`   // where the new one does
	Count   int    `json:"count"`
	Example string `json:"example"` // a message's ID
}

const (
	// maxMoves bounds how many kinds of moves are told apart.
	maxMoves = 1000
	// renewAfter is how many messages pass before the fleets are made anew, so
	// that what routers remember of them stays bounded.
	renewAfter = 10_000
	noWay      = "(nowhere)"
)

// Comparer takes messages through two configurations.
type Comparer struct {
	classes  fleet.Classes
	old, new []*fleet.Definition
	moves    map[Move]*Move
	sum      Difference
}

// NewComparer compares two configurations.
func NewComparer(classes fleet.Classes, old, new []*fleet.Definition) *Comparer {
	return &Comparer{classes: classes, old: old, new: new, moves: map[Move]*Move{}}
}

// Compare takes a sample through both. Its memory is bounded, however long the
// sample is. Lines that cannot be read are counted and left out.
func (c *Comparer) Compare(ctx context.Context, sample *Sample) (Difference, error) {
	for more := true; more; {
		var err error
		if more, err = c.some(ctx, sample); err != nil {
			return Difference{}, err
		}
	}
	for _, move := range c.moves {
		c.sum.Moves = append(c.sum.Moves, *move)
	}
	slices.SortFunc(c.sum.Moves, func(a, b Move) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.By, b.By), strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
	return c.sum, nil
}

// some compares messages until what is remembered of them is to be forgotten.
func (c *Comparer) some(ctx context.Context, sample *Sample) (more bool, err error) {
	before, err := New(ctx, c.classes, c.old)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, before.Close()) }()
	after, err := New(ctx, c.classes, c.new)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, after.Close()) }()
	before.brief, after.brief = true, true
	for range renewAfter {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		e, err := sample.Next()
		var line *LineError
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case errors.As(err, &line):
			c.sum.Unreadable++
			c.sum.WhyUnreadable = cmp.Or(c.sum.WhyUnreadable, line.Error())
			continue
		case err != nil:
			return false, err
		}
		c.count(e, before.way(ctx, e), after.way(ctx, e))
	}
	return true, nil
}

// way is where an envelope ends, as text; "" when it ends in dead letters.
func (f *Fleet) way(ctx context.Context, e *message.Envelope) string {
	hop := f.trace(ctx, e.Clone())
	if len(hop.Takers) == 0 {
		return ""
	}
	var names []string
	for _, end := range hop.Ends() {
		switch {
		case end.arrives():
			names = append(names, message.Key(end.Hop.Connector, end.Hop.Flow))
		case end.Worker.Discarded != "":
			names = append(names, "(dropped: "+end.Worker.Discarded+")")
		}
	}
	slices.Sort(names)
	return strings.Join(names, " + ")
}

func (c *Comparer) count(e *message.Envelope, was, is string) {
	c.sum.Messages++
	switch {
	case was == is:
		c.sum.Same++
		if is == "" {
			c.sum.StuckBefore++
		}
		return
	case is == "":
		c.sum.Stuck++
	case was == "":
		c.sum.Freed++
	default:
		c.sum.Elsewhere++
	}
	key := Move{By: e.Key(), From: cmp.Or(was, noWay), To: cmp.Or(is, noWay)}
	move := c.moves[key]
	if move == nil {
		if len(c.moves) >= maxMoves {
			c.sum.MoreMoves++
			return
		}
		move = &Move{By: key.By, From: key.From, To: key.To, Example: e.ID()}
		c.moves[key] = move
	}
	move.Count++
}
