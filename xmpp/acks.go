package xmpp

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// pending is a sent stanza that the server has not acknowledged.
type pending struct {
	raw  []byte
	done func(error) // nil where nobody asks
}

// outbox keeps what was sent in its order. It is guarded by its session's mutex.
type outbox struct {
	acked   uint64 // stanzas acknowledged since the session was enabled
	waiting []pending
}

func (o *outbox) sent() uint64 { return o.acked + uint64(len(o.waiting)) }

// acknowledge takes what is acknowledged up to a number.
func (o *outbox) acknowledge(upTo uint64) (covered []pending) {
	n := min(int(upTo-o.acked), len(o.waiting))
	covered, o.waiting = o.waiting[:n:n], o.waiting[n:]
	o.acked = upTo
	if len(o.waiting) == 0 {
		o.waiting = nil
	}
	return covered
}

// number is the h of an acknowledgement (XEP-0198 §4) as a count that does not
// wrap; ahead says that it is more than was sent, old that it says nothing new.
func (o *outbox) number(h uint32) (upTo uint64, ahead, old bool) {
	delta := h - uint32(o.acked)
	if int32(delta) <= 0 {
		return o.acked, false, true
	}
	upTo = o.acked + uint64(delta)
	return upTo, upTo > o.sent(), false
}

func settle(list []pending, err error) {
	for _, p := range list {
		if p.done != nil {
			p.done(err)
		}
	}
}

// maxHandling is how many received stanzas may be unhandled; then no more is read.
const maxHandling = 500

// inbox counts what was received and is handled, in order.
type inbox struct {
	mu      sync.Mutex
	handled uint32
	flight  []*arrival
	owed    bool          // the server was told of less than was received
	tell    func()        // tells it again
	changed chan struct{} // closed when something is handled; nil while nobody waits
}

type arrival struct{ done bool }

// begin counts a stanza, which is given to finish once it is handled.
func (in *inbox) begin() *arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	a := new(arrival)
	in.flight = append(in.flight, a)
	return a
}

// finish tells a server that was told of less that all is handled: it may keep only
// so many stanzas.
func (in *inbox) finish(a *arrival) {
	in.mu.Lock()
	a.done = true
	for len(in.flight) > 0 && in.flight[0].done {
		in.flight = in.flight[1:]
		in.handled++
	}
	if in.changed != nil {
		close(in.changed)
		in.changed = nil
	}
	var tell func()
	if len(in.flight) == 0 {
		in.flight = nil
		if in.owed {
			tell = in.tell
		}
	}
	in.mu.Unlock()
	if tell != nil {
		tell()
	}
}

// count is the number of stanzas handled, for an acknowledgement.
func (in *inbox) count() uint32 {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.owed = len(in.flight) > 0
	return in.handled
}

// await waits until at most n stanzas are unhandled.
func (in *inbox) await(ctx context.Context, n int) error {
	for {
		in.mu.Lock()
		if len(in.flight) <= n {
			in.mu.Unlock()
			return nil
		}
		if in.changed == nil {
			in.changed = make(chan struct{})
		}
		changed := in.changed
		in.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Resumption is a session that ended and may be resumed: what the server has not
// acknowledged is in it. One Dial takes it; who gives up calls Abandon.
type Resumption struct {
	id, location string
	jid          JID
	out          outbox
	in           *inbox
	reason       error // for its end
}

// LeastStanza is how many bytes of a stanza every server takes (RFC 6120 §13.12).
const LeastStanza = 10_000

// Abandon tells for all that is in it that nobody knows whether the server has it. Where
// one may be too large for the server, only the largest has the server's reason.
func (r *Resumption) Abandon() {
	if r == nil {
		return
	}
	rest := r.unknown()
	if i := r.largest(); r.endedOver(i) {
		settle(r.out.waiting[i:i+1], rest)
		r.out.waiting = slices.Delete(r.out.waiting, i, i+1)
		rest = ErrUnknown
	}
	settle(r.out.waiting, rest)
	r.out.waiting = nil
}

// largest is the number of the largest stanza that waits; 0 where none does.
func (r *Resumption) largest() int {
	i := 0
	for k, p := range r.out.waiting {
		if len(p.raw) > len(r.out.waiting[i].raw) {
			i = k
		}
	}
	return i
}

// endedOver says that the server may have ended the stream over a waiting stanza because
// that is too large for it.
func (r *Resumption) endedOver(i int) bool {
	return IsViolation(r.reason) && i < len(r.out.waiting) && len(r.out.waiting[i].raw) > LeastStanza
}

// unknown is ErrUnknown, with what the server said when it ended the stream.
func (r *Resumption) unknown() error {
	if isStreamError(r.reason) {
		return fmt.Errorf("%w: %w", ErrUnknown, r.reason)
	}
	return ErrUnknown
}

// Waiting is how many stanzas are not acknowledged.
func (r *Resumption) Waiting() int {
	if r == nil {
		return 0
	}
	return len(r.out.waiting)
}
