package smpp

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

const (
	// resendAfter is how long a request must have been in flight before another like it is
	// the same, sent again; before that a person has said something twice.
	resendAfter = time.Second
	// rememberUntaken is how long a request that was not taken is recognised, and
	// maxPending how many are.
	rememberUntaken = 10 * time.Minute
	maxPending      = 10_000
	// usualSize is about what a deliver_sm takes, in octets.
	usualSize = 300
)

// deliverDedup recognises, by what they say, requests that the SMSC sends again: those in
// flight, and those it was not told are taken. They make one message.
type deliverDedup struct {
	stopping context.Context // of the transport
	running  *sync.WaitGroup
	tries    singleflight.Group // by message ID

	mu   sync.Mutex
	list *simplelru.LRU[content, *pendingDeliver]
}

type content [sha256.Size]byte

// pendingDeliver is a request, and all its copies.
type pendingDeliver struct {
	messageID string // of the message that comes of it
	content   content

	// Guarded by the mutex of deliverDedup.
	since   time.Time // when it arrived, or was not taken
	waiting int       // copies that are in flight

	taken bool // read and written by tries alone
}

func newDeliverDedup(stopping context.Context, running *sync.WaitGroup) *deliverDedup {
	list, _ := simplelru.NewLRU[content, *pendingDeliver](maxPending, nil) // fails for sizes below 1
	return &deliverDedup{stopping: stopping, running: running, list: list}
}

// enter finds what a request is a copy of: itself, mostly, unless it came again.
// Each is to be worked.
func (d *deliverDedup) enter(p *pdu.PDU, now time.Time) (_ *pendingDeliver, again bool) {
	own := &pendingDeliver{messageID: message.NewID(), since: now, waiting: 1}
	text, err := p.AppendTo(make([]byte, 0, usualSize))
	if err != nil { // it was read leniently
		return own, false
	}
	own.content = sha256.Sum256(text[pdu.HeaderLength:])
	d.mu.Lock()
	defer d.mu.Unlock()
	o, there := d.list.Get(own.content)
	switch {
	case !there || o.waiting == 0 && now.Sub(o.since) > rememberUntaken:
		d.list.Add(own.content, own)
		return own, false
	case o.waiting > 0 && now.Sub(o.since) < resendAfter:
		return own, false
	}
	o.waiting++
	return o, true
}

// work does what is to be done for a request, unless it was done for a copy. When the
// connection ends, ctx with it, the work goes on until the deadline: the request comes again.
func (d *deliverDedup) work(ctx context.Context, o *pendingDeliver, deadline time.Time, do func(context.Context) error) (err error) {
	defer func() { d.leave(o, err) }()
	done := make(chan error, 1)
	d.running.Go(func() {
		_, err, _ := d.tries.Do(o.messageID, func() (any, error) {
			if o.taken {
				return nil, nil
			}
			ctx, cancel := context.WithDeadline(d.stopping, deadline)
			defer cancel()
			err := do(ctx)
			o.taken = err == nil
			return nil, err
		})
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave forgets a request once the SMSC is told that it is taken.
func (d *deliverDedup) leave(o *pendingDeliver, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.waiting--
	if err != nil {
		o.since = time.Now()
		return
	}
	if listed, _ := d.list.Peek(o.content); listed == o && o.waiting == 0 {
		d.list.Remove(o.content)
	}
}
