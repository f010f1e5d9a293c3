package rabbitmq

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/internal/coalesce"
)

const (
	// socketBuffer is how many bytes may wait to be written before publishing does.
	socketBuffer = 256 << 10
	// readBuffer spares system calls: the client library reads 4 KiB at a time.
	readBuffer = 64 << 10
	// flushOnClose bounds how long closing waits for what is still to be written.
	flushOnClose = 500 * time.Millisecond
)

// socket is a connection that is written in the background, many small frames in
// one system call (a sixth of the processor time of forwarding). Its Write never
// blocks: the client library writes with locks held that it needs to tear a dead
// connection down. Those who write much call waitRoom first.
type socket struct {
	net.Conn
	in  *bufio.Reader
	out *coalesce.Writer

	// Of what RabbitMQ delivers, where metered: bodies received and not released.
	metered   bool
	memory    int64 // that the process may use, in bytes
	frames    frames
	held      atomic.Int64
	consumers atomic.Int64 // those who browse too
	working   atomic.Int64 // those who do not
	flooded   atomic.Bool  // more came at once than is taken
	relayed   atomic.Bool  // bodies over broker.MaxBody are not for consumers
	tooLarge  atomic.Bool  // one came

	mu        sync.Mutex
	handshook bool
}

func newSocket(c net.Conn, metered bool) *socket {
	s := &socket{Conn: c, metered: metered, memory: debug.SetMemoryLimit(-1), in: bufio.NewReaderSize(c, readBuffer), out: coalesce.New(c, 0)}
	go s.out.Run()
	return s
}

// Write takes p over; a later Write reports the error of this one.
func (s *socket) Write(p []byte) (int, error) { return s.out.Write(p) }

// waitRoom waits until little is left to be written, or the socket has failed,
// which Write reports.
func (s *socket) waitRoom(ctx context.Context) error {
	if err := s.out.WaitRoom(ctx, socketBuffer); err != nil {
		return fmt.Errorf("waiting until RabbitMQ reads on: %w", err)
	}
	return nil
}

// Read fails the writers too when it fails: the connection is of no use then.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if s.metered {
		if refused := s.frames.scan(p[:n], s.admit); refused != nil {
			s.flooded.Store(true)
			n, err = 0, refused
		}
	}
	if err != nil {
		s.out.Fail(err)
	}
	return n, err
}

// maxHeldBytes bounds, for each consumer of a connection, the bodies that are received and
// not released. A larger one is taken where half of it is free.
const maxHeldBytes = 2 * maxUnsettledBytes

// memoryShare is the part of the process's memory that one body may have: reading and
// publishing it take several times its size.
const memoryShare = 4

func (s *socket) admit(size uint64) error {
	if size > broker.MaxBody && s.relayed.Load() && s.working.Load() > 0 {
		s.tooLarge.Store(true)
		return errTooLarge
	}
	if s.exceedsMemory(size) {
		return fmt.Errorf("RabbitMQ sends a body of %d bytes, too many for a process that may use %d MiB (GOMEMLIMIT): "+
			"give it %d times the body's size, or remove the body from its queue", size, s.memory>>20, memoryShare)
	}
	held, most := s.held.Add(int64(size)), maxHeldBytes*max(1, s.consumers.Load())
	if held > most && held-int64(size) > most/2 {
		return errTooMuchAtOnce
	}
	return nil
}

// exceedsMemory reports whether a body needs more memory than the process may use.
func (s *socket) exceedsMemory(size uint64) bool { return size > uint64(s.memory/memoryShare) }

// release says that a body of so many bytes is held no longer.
func (s *socket) release(size int64) { s.held.Add(-size) }

// Close returns at once; what was written goes out first, if the peer takes it.
func (s *socket) Close() error {
	s.out.Close(flushOnClose)
	return nil
}

// SetDeadline is for reading only. A write may take as long as RabbitMQ is short
// of memory and does not read; it goes on to send heartbeats, and Read notices
// when those cease.
func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetWriteDeadline does nothing, see SetDeadline.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// abortHandshake ends the connection if its handshake has not ended by itself.
func (s *socket) abortHandshake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.handshook {
		s.out.Fail(os.ErrDeadlineExceeded)
	}
}

// handshakeDone says that abortHandshake comes too late; false if it did not.
func (s *socket) handshakeDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handshook = true
	return s.out.Err() == nil
}
