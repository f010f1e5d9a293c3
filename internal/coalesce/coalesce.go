// Package coalesce gathers small writes to a connection, so that what comes
// while one write runs leaves together in the next: one system call for many
// frames.
package coalesce

import (
	"context"
	"net"
	"sync"
	"time"
)

// keep is the largest buffer, in bytes, that is kept for reuse.
const keep = 512 << 10

// Writer writes to a connection in the background. Appending never blocks; who
// may append much calls WaitRoom first, or gives up by Pending. Its methods are
// safe for several goroutines.
type Writer struct {
	conn    net.Conn
	timeout time.Duration

	mu      sync.Mutex
	pending []byte
	room    chan struct{} // closed when pending was taken; nil while nobody waits
	wake    chan struct{}
	held    bool
	closed  bool
	err     error
}

// New returns a Writer to conn that Run serves. One write may take timeout; 0 is
// for ever.
func New(conn net.Conn, timeout time.Duration) *Writer {
	return &Writer{conn: conn, timeout: timeout, wake: make(chan struct{}, 1)}
}

// Append lets add append to what is to be written, and returns its error, that
// of an earlier write, or net.ErrClosed.
func (w *Writer) Append(add func(pending []byte) ([]byte, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return net.ErrClosed
	}
	var err error
	w.pending, err = add(w.pending)
	if !w.held {
		w.signal()
	}
	return err
}

// Write takes p over.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.Append(func(b []byte) ([]byte, error) { return append(b, p...), nil }); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Edit lets edit change what is not yet given to the connection.
func (w *Writer) Edit(edit func(pending []byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = edit(w.pending)
}

// Hold says that more is appended soon: nothing is written before Release.
func (w *Writer) Hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = true
}

// Release ends Hold.
func (w *Writer) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = false
	if len(w.pending) > 0 {
		w.signal()
	}
}

// Pending returns how many bytes are not yet given to the connection.
func (w *Writer) Pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending)
}

// WaitRoom blocks until less than limit bytes are pending, or the Writer is
// closed or has failed, which the next Append tells. The error is that of ctx.
func (w *Writer) WaitRoom(ctx context.Context, limit int) error {
	for {
		w.mu.Lock()
		if len(w.pending) < limit || w.err != nil || w.closed {
			w.mu.Unlock()
			return nil
		}
		if w.room == nil {
			w.room = make(chan struct{})
		}
		room := w.room
		w.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close lets Run write what is pending and end; from now on that may take at
// most timeout in all. It does not block.
func (w *Writer) Close(timeout time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && w.err == nil {
		w.closed, w.timeout = true, 0
		_ = w.conn.SetWriteDeadline(time.Now().Add(timeout))
		w.makeRoom()
		w.signal()
	}
}

// Fail ends the connection at once; the first error counts.
func (w *Writer) Fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		_ = w.conn.Close()
		w.makeRoom()
		w.signal()
	}
}

// Err returns the error that the Writer has failed with, or nil.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Run writes until Close or an error, closes the connection, and returns the
// error.
func (w *Writer) Run() error {
	defer func() { _ = w.conn.Close() }()
	var out []byte
	for {
		var more bool
		if out, more = w.take(out); !more {
			return w.Err()
		}
		if len(out) == 0 {
			<-w.wake
			continue
		}
		if _, err := w.conn.Write(out); err != nil {
			w.Fail(err)
		}
	}
}

// take swaps the written buffer for the pending one; false ends Run.
func (w *Writer) take(written []byte) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil || w.closed && len(w.pending) == 0:
		return nil, false
	case w.held && !w.closed:
		return written[:0], true
	case cap(written) > keep:
		written = nil
	}
	out := w.pending
	w.pending = written[:0]
	w.makeRoom()
	if w.timeout > 0 && len(out) > 0 {
		_ = w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	return out, true
}

func (w *Writer) makeRoom() {
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
}

func (w *Writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
