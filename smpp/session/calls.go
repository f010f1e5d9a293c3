package session

import (
	"context"
	"sync"
	"time"

	"switchboard/smpp/pdu"
)

// calls are the requests of ours that wait for their answers.
type calls struct {
	mu      sync.Mutex
	next    uint32
	waiting map[uint32]*call
	queue   []deadline // in the order of their deadlines
	closed  bool
	window  chan struct{} // a token for each request in flight
}

type call struct {
	command  pdu.CommandID
	windowed bool
	done     func(*pdu.PDU, error)
}

type deadline struct {
	sequence uint32
	at       time.Time
}

// Do sends a request and waits for its answer, first for room in the window. An
// answer of a failing status is no error. The errors are ctx's, ErrTimeout,
// ErrClosed and the encoder's.
func (s *Session) Do(ctx context.Context, body pdu.Body) (*pdu.PDU, error) {
	type result struct {
		p   *pdu.PDU
		err error
	}
	answered := make(chan result, 1)
	if err := s.Go(ctx, body, func(p *pdu.PDU, err error) { answered <- result{p, err} }); err != nil {
		return nil, err
	}
	select {
	case r := <-answered:
		return r.p, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Go waits for room in the window, sends a request, and returns; done gets the
// answer, or ErrTimeout or ErrClosed, once. It must not block. When Go returns
// an error done is not called.
func (s *Session) Go(ctx context.Context, body pdu.Body, done func(*pdu.PDU, error)) error {
	window := s.window()
	if window == nil {
		return ErrNotBound
	}
	select {
	case window <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopping:
		return ErrClosed
	}
	return s.send(body, true, done)
}

// TryGo is Go that returns ErrWindowFull instead of waiting.
func (s *Session) TryGo(body pdu.Body, done func(*pdu.PDU, error)) error {
	select {
	case s.window() <- struct{}{}:
		return s.send(body, true, done)
	default:
	}
	if s.window() == nil {
		return ErrNotBound
	}
	return ErrWindowFull
}

// InFlight returns how many requests of ours wait for an answer.
func (s *Session) InFlight() int {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return len(s.calls.waiting)
}

// window is nil before the session is bound.
func (s *Session) window() chan struct{} {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return s.calls.window
}

func (s *Session) setWindow(n int) {
	if n <= 0 {
		n = DefaultWindow
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	s.calls.window = make(chan struct{}, n)
}

func (s *Session) send(body pdu.Body, windowed bool, done func(*pdu.PDU, error)) error {
	k := &s.calls
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return ErrClosed
	}
	k.next = k.next%pdu.MaxSequence + 1
	sequence := k.next
	k.waiting[sequence] = &call{body.Command(), windowed, done}
	k.queue = append(k.queue, deadline{sequence, time.Now().Add(s.settings.ResponseTimeout)})
	k.mu.Unlock()
	if err := s.out.append(&pdu.PDU{Sequence: sequence, Body: body}); err != nil {
		if s.take(sequence) != nil {
			return s.unwritable(err)
		}
	}
	return nil
}

// take removes a request that waits; nil when there is none of the sequence.
func (s *Session) take(sequence uint32) *call {
	k := &s.calls
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.waiting[sequence]
	if c == nil {
		return nil
	}
	delete(k.waiting, sequence)
	if c.windowed {
		<-k.window
	}
	return c
}

// answered hands an answer to the request it is for.
func (s *Session) answered(p *pdu.PDU) {
	k := &s.calls
	k.mu.Lock()
	c := k.waiting[p.Sequence]
	fits := c != nil && (p.Command() == c.command.Response() || p.Command() == pdu.CmdGenericNack)
	k.mu.Unlock()
	if !fits {
		s.log.Debug("answer to nothing that was asked", "pdu", p.String())
		return
	}
	if c := s.take(p.Sequence); c != nil {
		c.done(p, nil)
	}
}

// expire fails the requests whose time is over.
func (s *Session) expire(now time.Time) {
	for _, sequence := range s.calls.due(now) {
		if c := s.take(sequence); c != nil {
			c.done(nil, ErrTimeout)
		}
	}
}

// due returns the requests whose time is over, and forgets the answered ones
// before and between them.
func (k *calls) due(now time.Time) (late []uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, d := range k.queue {
		_, waits := k.waiting[d.sequence]
		if waits && d.at.After(now) {
			break
		}
		if waits {
			late = append(late, d.sequence)
		}
		n++
	}
	k.queue = k.queue[:copy(k.queue, k.queue[n:])]
	return late
}

// failAll ends every request that waits, and lets no other begin.
func (s *Session) failAll() {
	k := &s.calls
	k.mu.Lock()
	k.closed = true
	waiting := k.waiting
	k.waiting, k.queue = nil, nil
	k.mu.Unlock()
	for _, c := range waiting {
		c.done(nil, ErrClosed)
	}
}
