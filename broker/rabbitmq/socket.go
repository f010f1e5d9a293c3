package rabbitmq

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// socketBuffer is how much may wait to be written before publishing does.
	socketBuffer = 256 << 10
	// readBuffer spares system calls: the client library reads 4 KiB at a time.
	readBuffer = 64 << 10
	// flushOnClose bounds how long closing waits for what is still to be written.
	flushOnClose = 500 * time.Millisecond
)

// socket writes in the background and gathers what comes meanwhile, so that many
// small frames go out in one system call (a sixth of the processor time of
// forwarding). Above all its Write never blocks: the client library writes with
// locks held that it needs to tear a dead connection down. Those who write much
// call waitRoom first.
//
// Nothing lies unwritten: whenever there is something, flush is on its way.
type socket struct {
	net.Conn
	in *bufio.Reader

	mu        sync.Mutex
	room      chan struct{} // closed when there is room again; nil when nobody waits
	pending   []byte
	wake      chan struct{}
	err       error
	closed    bool
	handshook bool
}

func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c, in: bufio.NewReaderSize(c, readBuffer), wake: make(chan struct{}, 1)}
	go s.flush()
	return s
}

// Write takes p over; an error of an earlier write is reported by a later one.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case s.closed:
		return 0, net.ErrClosed
	}
	s.pending = append(s.pending, p...)
	s.signal()
	return len(p), nil
}

// waitRoom waits until little is left to be written, or the socket is of no use
// any more, which Write will tell.
func (s *socket) waitRoom(ctx context.Context) error {
	for {
		s.mu.Lock()
		if len(s.pending) < socketBuffer || s.err != nil || s.closed {
			s.mu.Unlock()
			return nil
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("waiting until RabbitMQ reads on: %w", ctx.Err())
		}
	}
}

func (s *socket) makeRoom() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// Read fails the writers too when it fails: the connection is of no use then.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if err != nil {
		s.fail(err)
	}
	return n, err
}

// Close returns at once; what was written goes out first, if the peer takes it.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.Conn.SetWriteDeadline(time.Now().Add(flushOnClose))
		s.makeRoom()
		s.signal()
	}
	return nil
}

// SetDeadline is for reading only. A write may take as long as RabbitMQ is short
// of memory and does not read; it goes on to send heartbeats, and Read notices
// when those cease.
func (s *socket) SetDeadline(t time.Time) error { return s.Conn.SetReadDeadline(t) }

// SetWriteDeadline does nothing, see SetDeadline.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// abortHandshake ends the connection if its handshake has not ended by itself.
func (s *socket) abortHandshake() {
	s.mu.Lock()
	done := s.handshook
	s.mu.Unlock()
	if !done {
		s.fail(os.ErrDeadlineExceeded)
	}
}

// handshakeDone says that abortHandshake comes too late; false if it did not.
func (s *socket) handshakeDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handshook = true
	return s.err == nil
}

// fail ends the connection, both ways.
func (s *socket) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.Conn.Close()
		s.makeRoom()
		s.signal()
	}
}

func (s *socket) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// flush writes until the socket is closed and empty, or has failed.
func (s *socket) flush() {
	defer s.Conn.Close()
	var out []byte
	for range s.wake {
		for {
			var more bool
			if out, more = s.take(out); !more {
				return
			}
			if len(out) == 0 {
				break
			}
			if _, err := s.Conn.Write(out); err != nil {
				s.fail(err)
				return
			}
		}
	}
}

// take swaps the written buffer for the waiting one. It says whether to go on.
func (s *socket) take(written []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.closed && len(s.pending) == 0 {
		return nil, false
	}
	if cap(written) > 2*socketBuffer {
		written = nil
	}
	out := s.pending
	s.pending = written[:0]
	s.makeRoom()
	return out, true
}
