package smpp

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

const (
	// resendAfter is how long a request must have been in hand before another
	// like it is taken for the same, sent again by an SMSC that tired of waiting;
	// before that a person has said something twice.
	resendAfter = time.Second
	// failedFor is how long a request that was not taken is known again, and
	// maxFailed how many are.
	failedFor = 10 * time.Minute
	maxFailed = 10_000
)

// copies knows the requests that are in hand, and those that could not be taken,
// so that one that comes again is the same message. SMPP gives them no ids:
// they are known by what they say.
type copies struct {
	mu   sync.Mutex
	list map[content]*original
}

type content [sha256.Size]byte

// original is a request, and all its copies.
type original struct {
	messageID string // of the message that comes of it
	turn      chan struct{}
	taken     bool // guarded by turn

	content content // the rest is guarded by the mutex of copies
	arrived time.Time
	inHand  int
	failed  time.Time // when the last of them was not taken
}

func newCopies() *copies { return &copies{list: map[content]*original{}} }

// enter finds what a request is a copy of: itself, mostly. Each is to be worked
// or left.
func (c *copies) enter(p *pdu.PDU, now time.Time) *original {
	own := &original{messageID: message.NewID(), turn: make(chan struct{}, 1), arrived: now, inHand: 1}
	text, err := p.AppendTo(nil)
	if err != nil { // it was read leniently
		return own
	}
	own.content = sha256.Sum256(text[pdu.HeaderLength:])
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.list[own.content]
	if o == nil || o.inHand == 0 && now.Sub(o.failed) > failedFor {
		c.list[own.content] = own
		return own
	}
	if o.inHand > 0 && now.Sub(o.arrived) < resendAfter {
		return own
	}
	o.inHand++
	return o
}

// work does what is to be done for a request, unless it was done for a copy.
func (c *copies) work(ctx context.Context, o *original, do func() error) (err error) {
	defer func() { c.leave(o, err, time.Now()) }()
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-o.turn }()
	if o.taken {
		return nil
	}
	err = do()
	o.taken = err == nil
	return err
}

func (c *copies) leave(o *original, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.inHand--
	switch {
	case o.inHand > 0 || c.list[o.content] != o:
	case err == nil:
		delete(c.list, o.content)
	default:
		o.arrived, o.failed = now, now
		c.prune(now)
	}
}

// prune forgets what failed long ago, and all that failed when that is too much.
func (c *copies) prune(now time.Time) {
	if len(c.list) <= maxFailed {
		return
	}
	for _, limit := range []time.Duration{failedFor, 0} {
		for key, o := range c.list {
			if o.inHand == 0 && now.Sub(o.failed) >= limit {
				delete(c.list, key)
			}
		}
		if len(c.list) <= maxFailed/2 {
			return
		}
	}
}
