package session

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"switchboard/smpp/pdu"
)

// requests are those of ours that wait for their answers.
type requests struct {
	mu       sync.Mutex
	sequence uint32 // the last used
	waiting  map[uint32]*request
	late     *lru.LRU[uint32, *request] // those that ErrTimeout ended; nil without LateAnswers
	queue    []deadline                 // in the order of their deadlines
	closed   bool
	window   int // 0 before the session is bound
	inFlight int // of the window

	lateOrder sync.Mutex // held while done is called for ErrTimeout, and for what comes late
}

type request struct {
	command  pdu.CommandID
	windowed bool
	done     func(*pdu.PDU, error)
}

type deadline struct {
	sequence uint32
	at       time.Time
}

// Send makes a request and returns; done gets the answer, or ErrTimeout,
// ErrClosed, or ErrNotSent, which is ErrClosed for a request that the peer
// cannot have. An answer of a failing status is no error. done must not block.
// It is called once, and a second time for an answer after ErrTimeout with
// Settings.LateAnswers.
//
// The errors are ErrWindowFull, also while too much waits to be written,
// ErrNotBound, ErrClosed and the encoder's; done is not called then.
func (s *Session) Send(body pdu.Body, done func(*pdu.PDU, error)) error {
	if s.out.Pending() > maxBacklog {
		return ErrWindowFull
	}
	return s.send(body, true, s.settings.ResponseTimeout, done)
}

// InFlight returns how many requests made by Send wait for an answer.
func (s *Session) InFlight() int {
	s.requests.mu.Lock()
	defer s.requests.mu.Unlock()
	return s.requests.inFlight
}

func (s *Session) setWindow(n int) {
	if n <= 0 {
		n = DefaultWindow
	}
	s.requests.mu.Lock()
	defer s.requests.mu.Unlock()
	s.requests.window = n
}

func (s *Session) send(body pdu.Body, windowed bool, timeout time.Duration, done func(*pdu.PDU, error)) error {
	sequence, err := s.requests.add(&request{body.Command(), windowed, done}, time.Now().Add(timeout))
	if err != nil {
		return err
	}
	if err := s.written(s.out.Append((&pdu.PDU{Sequence: sequence, Body: body}).AppendTo)); err != nil {
		if s.requests.take(sequence) != nil {
			return err
		}
	}
	return nil
}

func (q *requests) add(r *request, until time.Time) (sequence uint32, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return 0, ErrClosed
	case r.windowed && q.window == 0:
		return 0, ErrNotBound
	case r.windowed && q.inFlight >= q.window:
		return 0, ErrWindowFull
	case r.windowed:
		q.inFlight++
	}
	sequence = q.next()
	q.waiting[sequence] = r
	q.queue = append(q.queue, deadline{sequence, until})
	return sequence, nil
}

// next is the next sequence_number (§5.1.4): after the highest comes 1 again, and
// none that waits for an answer. q.mu is held.
func (q *requests) next() uint32 {
	for {
		q.sequence = q.sequence%pdu.MaxSequence + 1
		if q.waiting[q.sequence] == nil {
			return q.sequence
		}
	}
}

// take removes a request that waits; nil when there is none of the sequence.
func (q *requests) take(sequence uint32) *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.remove(sequence)
}

// remove is take with q.mu held.
func (q *requests) remove(sequence uint32) *request {
	r := q.waiting[sequence]
	if r == nil {
		return nil
	}
	delete(q.waiting, sequence)
	if r.windowed {
		q.inFlight--
	}
	return r
}

// answered hands an answer to the request it is for.
func (s *Session) answered(p *pdu.PDU) {
	r, late := s.requests.answeredBy(p)
	switch {
	case r == nil && s.acceptor == nil && !s.Peer().bound() && p.Command() == pdu.CmdGenericNack:
		s.Close(&RefusedError{p.Status}) // of whatever sequence: the bind is all there is
	case r == nil:
		s.stray("an answer to no request", p)
	case late:
		s.requests.lateOrder.Lock()
		defer s.requests.lateOrder.Unlock()
		r.done(p, nil)
	default:
		r.done(p, nil)
	}
}

// answeredBy removes the request that an answer is for: one that waits, or else
// one whose time is over.
func (q *requests) answeredBy(p *pdu.PDU) (r *request, late bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r = q.waiting[p.Sequence]; r != nil {
		if r.isAnsweredBy(p) {
			return q.remove(p.Sequence), false
		}
		return nil, false
	}
	if q.late == nil {
		return nil, false
	}
	if r, _ = q.late.Get(p.Sequence); r == nil || !r.isAnsweredBy(p) {
		return nil, false
	}
	q.late.Remove(p.Sequence)
	return r, true
}

func (r *request) isAnsweredBy(p *pdu.PDU) bool {
	return p.Command() == r.command.Response() || p.Command() == pdu.CmdGenericNack
}

// expire fails the requests whose time is over.
func (s *Session) expire(now time.Time) {
	s.requests.lateOrder.Lock()
	defer s.requests.lateOrder.Unlock()
	for _, r := range s.requests.expired(now) {
		r.done(nil, ErrTimeout)
	}
}

// expired removes the requests whose time is over, and the deadlines of the
// answered ones before and between them.
func (q *requests) expired(now time.Time) (list []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, d := range q.queue {
		if q.waiting[d.sequence] != nil {
			if d.at.After(now) {
				break
			}
			r := q.remove(d.sequence)
			if q.late != nil {
				q.late.Add(d.sequence, r)
			}
			list = append(list, r)
		}
		n++
	}
	q.queue = q.queue[:copy(q.queue, q.queue[n:])]
	return list
}

// failAll ends every request that waits, in their order, and lets no other begin.
func (s *Session) failAll() error {
	unsent := s.unsent()
	q := &s.requests
	q.mu.Lock()
	q.closed = true
	waiting := q.waiting
	q.waiting, q.queue, q.inFlight = nil, nil, 0
	q.mu.Unlock()
	for _, sequence := range slices.Sorted(maps.Keys(waiting)) {
		err := ErrClosed
		if unsent[sequence] {
			err = ErrNotSent
		}
		waiting[sequence].done(nil, err)
	}
	return nil
}

// unsent are the sequence numbers of the requests that were not given to the
// connection.
func (s *Session) unsent() map[uint32]bool {
	found := map[uint32]bool{}
	s.out.Edit(func(b []byte) []byte {
		for len(b) >= pdu.HeaderLength {
			length := int(binary.BigEndian.Uint32(b))
			if length < pdu.HeaderLength || length > len(b) {
				break // octets that are no PDU, see WriteRaw
			}
			if !pdu.CommandID(binary.BigEndian.Uint32(b[4:])).IsResponse() {
				found[binary.BigEndian.Uint32(b[12:])] = true
			}
			b = b[length:]
		}
		return nil
	})
	return found
}

// close lets no further request begin.
func (q *requests) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
