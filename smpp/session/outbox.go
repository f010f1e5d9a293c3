package session

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/smpp/pdu"
)

// outbox gathers what is to be written, so that the answers to all that came in
// one read leave in one write.
type outbox struct {
	conn    net.Conn
	timeout time.Duration
	wake    chan struct{} // one token: there is something to write
	room    chan struct{} // one token: something was written
	holding atomic.Bool   // the reader is busy and will release
	lost    atomic.Bool   // the peer reads no more: nothing is written at the end

	mu      sync.Mutex
	pending []byte
	spare   []byte
	failed  []byte // the write that failed,
	written int    // and how many of its octets were written
}

func newOutbox(conn net.Conn, timeout time.Duration) *outbox {
	return &outbox{conn: conn, timeout: timeout, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// append adds a PDU. It does not block.
func (o *outbox) append(p *pdu.PDU) error {
	o.mu.Lock()
	b, err := p.AppendTo(o.pending)
	o.pending = b
	full := len(b) > maxPending
	o.mu.Unlock()
	return o.appended(full, err)
}

// appendRaw adds octets as they are.
func (o *outbox) appendRaw(b []byte) error {
	o.mu.Lock()
	o.pending = append(o.pending, b...)
	full := len(o.pending) > maxPending
	o.mu.Unlock()
	return o.appended(full, nil)
}

func (o *outbox) appended(full bool, err error) error {
	if err != nil {
		return err
	}
	if full {
		return ErrStuck
	}
	if !o.holding.Load() {
		signal(o.wake)
	}
	return nil
}

// hold says that more is likely to be appended before release.
func (o *outbox) hold() { o.holding.Store(true) }

func (o *outbox) release() {
	o.holding.Store(false)
	if o.size() > 0 {
		signal(o.wake)
	}
}

func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pending)
}

// awaitRoom blocks while too much waits to be written.
func (o *outbox) awaitRoom(stop <-chan struct{}) {
	for o.size() > highWater {
		select {
		case <-o.room:
		case <-stop:
			return
		}
	}
}

// run writes until stop is closed, then what is left, and closes the connection.
func (o *outbox) run(stop <-chan struct{}) (err error) {
	defer func() { _ = o.conn.Close() }()
	for {
		select {
		case <-o.wake:
			if err := o.flush(); err != nil {
				return err
			}
		case <-stop:
			if o.lost.Load() {
				return nil
			}
			return o.flush()
		}
	}
}

func (o *outbox) flush() error {
	for {
		o.mu.Lock()
		b := o.pending
		o.pending, o.spare = o.spare[:0], nil
		o.mu.Unlock()
		if len(b) == 0 {
			o.giveBack(b)
			return nil
		}
		_ = o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
		n, err := o.conn.Write(b)
		if err != nil {
			o.mu.Lock()
			o.failed, o.written = b, n
			o.mu.Unlock()
			return err
		}
		o.giveBack(b)
		signal(o.room)
	}
}

// unsent are the sequence numbers of the requests of which no octet was written,
// once run is over.
func (o *outbox) unsent() map[uint32]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := map[uint32]bool{}
	note := func(b []byte, written int) {
		for at := 0; len(b)-at >= pdu.HeaderLength; {
			length := int(binary.BigEndian.Uint32(b[at:]))
			if length < pdu.HeaderLength || length > len(b)-at {
				return // octets that are no PDU, see WriteRaw
			}
			if command := pdu.CommandID(binary.BigEndian.Uint32(b[at+4:])); at >= written && !command.IsResponse() {
				found[binary.BigEndian.Uint32(b[at+12:])] = true
			}
			at += length
		}
	}
	note(o.failed, o.written)
	note(o.pending, 0)
	return found
}

// giveBack keeps a written buffer for the next round, unless it grew large.
func (o *outbox) giveBack(b []byte) {
	if cap(b) > 2*highWater {
		return
	}
	o.mu.Lock()
	if o.spare == nil {
		o.spare = b[:0]
	}
	o.mu.Unlock()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
