package rabbitmq

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestSocketWritesAllInOrder writes from one end while the other reads slowly.
func TestSocketWritesAllInOrder(t *testing.T) {
	defer goleak.VerifyNone(t)
	near, far := net.Pipe()
	s := newSocket(near, false)
	var want bytes.Buffer
	for i := range 5000 {
		frame := bytes.Repeat([]byte{byte(i)}, i%700)
		want.Write(frame)
		if n, err := s.Write(frame); n != len(frame) || err != nil {
			t.Fatal(n, err)
		}
	}
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(far)
		got <- all
	}()
	s.Close()
	if all := <-got; !bytes.Equal(all, want.Bytes()) {
		t.Fatalf("%d bytes arrived, want the %d written before Close", len(all), want.Len())
	}
	if _, err := s.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("writing after Close: %v", err)
	}
}

// TestSocketNeverBlocks: the peer reads next to nothing.
func TestSocketNeverBlocks(t *testing.T) {
	defer goleak.VerifyNone(t)
	near, far := net.Pipe()
	defer far.Close()
	s := newSocket(near, false)
	defer s.Close()
	for range 3 {
		if _, err := s.Write(make([]byte, socketBuffer)); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); err != nil { // a write is under way now
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.waitRoom(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waiting for room: %v", err)
	}
	// The connection fails on the reading side: nobody waits any longer.
	waited := make(chan error)
	go func() { waited <- s.waitRoom(context.Background()) }()
	far.Close()
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Fatal("read from a closed connection")
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Fatal("wrote to a connection that has failed")
	}
}

// TestSocketCloseIsBounded: a peer that does not read cannot hold up closing.
func TestSocketCloseIsBounded(t *testing.T) {
	defer goleak.VerifyNone(t)
	near, far := net.Pipe()
	defer far.Close()
	s := newSocket(near, false)
	s.Write([]byte("never read"))
	s.Close()
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Fatal("still open")
	}
}

// TestSocketTakesOneLargeBody: what others hold of a connection does not keep it out for ever.
func TestSocketTakesOneLargeBody(t *testing.T) {
	for name, test := range map[string]struct {
		consumers  int64
		held, size uint64
		taken      bool
	}{
		"alone":                 {1, 0, 60 << 20, true},
		"beside small ones":     {1, 1000, 60 << 20, true},
		"beside full handlers":  {1, maxUnsettledBytes, 60 << 20, true},
		"beside more than that": {1, maxUnsettledBytes + 1, 60 << 20, false},
		"for a second consumer": {2, maxUnsettledBytes + 1, 60 << 20, true},
		"small, at the bound":   {1, maxHeldBytes - 10, 10, true},
		"small, beyond it":      {1, maxHeldBytes, 10, false},
	} {
		s := &socket{memory: 1 << 40}
		s.consumers.Store(test.consumers)
		if err := s.admit(test.held); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.admit(test.size); err == nil != test.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
