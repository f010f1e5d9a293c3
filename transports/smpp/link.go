package smpp

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/smpp/pdu"
)

const (
	// maxBacklog is how many octets may wait to be written before no more
	// submits are added.
	maxBacklog = 256 << 10
	// brimful is how many may wait before the link is given up: a peer that
	// sends garbage and reads no answers.
	brimful = 4 << 20
	// writeTimeout is how long the SMSC may take to make room for a write.
	writeTimeout = 30 * time.Second
	// commandOffset and sequenceOffset are where a PDU's command_id and
	// sequence_number stand (§3.2).
	commandOffset  = 4
	sequenceOffset = 12
)

// link is one TCP connection to an SMSC.
type link struct {
	conn   net.Conn
	reader *pdu.Reader

	sequences atomic.Uint32 // the last one
	heard     atomic.Int64  // when the SMSC was last heard of, UnixNano
	waiting   atomic.Int64  // octets not yet written

	mu      sync.Mutex
	out     []byte
	closing error         // why the link ends when out is written; nil while it does not
	wake    chan struct{} // takes one: there is something to write

	ending sync.Once
	cause  error
	ended  chan struct{} // closed when the link is of no more use
}

func newLink(conn net.Conn) *link {
	k := &link{
		conn: conn, reader: pdu.NewReader(conn, 0),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	k.hear()
	return k
}

func (k *link) hear() { k.heard.Store(time.Now().UnixNano()) }

func (k *link) silence() time.Duration { return time.Since(time.Unix(0, k.heard.Load())) }

// sequence is the next sequence_number (§5.1.4): after the last comes 1 again.
func (k *link) sequence() uint32 {
	for {
		last := k.sequences.Load()
		next := last%pdu.MaxSequence + 1
		if k.sequences.CompareAndSwap(last, next) {
			return next
		}
	}
}

func (k *link) backlogged() bool { return k.waiting.Load() > maxBacklog }

var errBrimful = errors.New("the SMSC does not read what it is sent")

// submit queues an encoded PDU, or its beginning, under a sequence number.
func (k *link) submit(frame []byte, sequence uint32) {
	k.mu.Lock()
	at := len(k.out)
	k.out = append(k.out, frame...)
	k.waiting.Add(int64(len(frame)))
	binary.BigEndian.PutUint32(k.out[at:], uint32(len(frame)))
	binary.BigEndian.PutUint32(k.out[at+sequenceOffset:], sequence)
	k.queued()
}

// send queues a PDU.
func (k *link) send(p *pdu.PDU) error {
	k.mu.Lock()
	out, err := p.AppendTo(k.out)
	k.waiting.Add(int64(len(out) - len(k.out)))
	k.out = out
	k.queued()
	return err
}

// queued unlocks.
func (k *link) queued() {
	n := len(k.out)
	k.mu.Unlock()
	if n > brimful {
		k.end(errBrimful)
	}
	k.stir()
}

func (k *link) stir() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// recall takes back the submit_sm that were not handed to the connection, and
// says which they were, in their order.
func (k *link) recall() (sequences []uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.out[:0]
	for rest := k.out; len(rest) > 0; {
		length := binary.BigEndian.Uint32(rest)
		frame := rest[:length]
		rest = rest[length:]
		if pdu.CommandID(binary.BigEndian.Uint32(frame[commandOffset:])) == pdu.CmdSubmitSM {
			sequences = append(sequences, binary.BigEndian.Uint32(frame[sequenceOffset:]))
			k.waiting.Add(-int64(length))
			continue
		}
		kept = append(kept, frame...)
	}
	k.out = kept
	return sequences
}

// end ends the link at once; the first cause counts.
func (k *link) end(cause error) {
	k.ending.Do(func() {
		k.cause = cause
		close(k.ended)
		_ = k.conn.Close()
	})
}

// finish ends the link when what is queued is written.
func (k *link) finish(cause error) {
	k.mu.Lock()
	k.closing = cause
	k.mu.Unlock()
	k.stir()
}

// write writes what is queued, as much at once as there is, until the link ends.
func (k *link) write() {
	var spare []byte
	for {
		select {
		case <-k.wake:
		case <-k.ended:
			return
		}
		k.mu.Lock()
		batch, closing := k.out, k.closing
		k.out = spare[:0]
		k.mu.Unlock()
		if len(batch) > 0 {
			_ = k.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := k.conn.Write(batch); err != nil {
				k.end(err)
				return
			}
			k.waiting.Add(-int64(len(batch)))
		}
		if closing != nil {
			k.end(closing)
			return
		}
		if spare = batch; cap(spare) > maxBacklog {
			spare = nil
		}
	}
}

var errHungUp = errors.New("the SMSC closed the connection")

// read gives each PDU to take until the link ends. What cannot be read is given
// to spoilt, and answered.
func (k *link) read(take func(*pdu.PDU), spoilt func(*pdu.Error)) {
	for {
		p, err := k.reader.Read()
		k.hear()
		var bad *pdu.Error
		switch {
		case err == nil:
			take(p)
		case errors.As(err, &bad):
			spoilt(bad)
			if answer := bad.Answer(); answer != nil {
				_ = k.send(answer)
			}
			if !bad.KeepLink() {
				k.drop(bad)
				return
			}
		case errors.Is(err, io.EOF):
			k.end(errHungUp)
			return
		default:
			k.end(err)
			return
		}
	}
}

// parting is how long the last answer may take to be written.
const parting = time.Second

// drop ends the link once its last answer is written.
func (k *link) drop(cause error) {
	k.finish(cause)
	select {
	case <-k.ended:
	case <-time.After(parting):
	}
	k.end(cause)
}
