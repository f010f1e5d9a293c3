package coalesce

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestAllIsWrittenInOrderBeforeTheEnd(t *testing.T) {
	near, far := net.Pipe()
	w := New(near, 0)
	ended := make(chan error, 1)
	go func() { ended <- w.Run() }()
	var want bytes.Buffer
	for i := range 5000 {
		frame := bytes.Repeat([]byte{byte(i)}, i%700)
		want.Write(frame)
		if n, err := w.Write(frame); n != len(frame) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.Close(time.Minute)
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("%d bytes arrived (%v), want the %d written", len(got), err, want.Len())
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing after Close: %v", err)
	}
}

func TestHeldWritesLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := New(near, 0)
		go w.Run()
		w.Hold()
		for range 3 {
			_, _ = w.Write([]byte("ab"))
		}
		synctest.Wait()
		if n := w.Pending(); n != 6 {
			t.Fatalf("%d bytes pending while held, want 6", n)
		}
		w.Edit(func(b []byte) []byte { return b[2:] })
		w.Release()
		b := make([]byte, 10)
		if n, err := far.Read(b); n != 4 || err != nil {
			t.Errorf("the first read gives %d bytes, %v; want all 4", n, err)
		}
		w.Close(time.Second)
	})
}

func TestRoomIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := New(near, 0)
		go w.Run()
		for range 2 {
			_, _ = w.Write(make([]byte, 100))
			synctest.Wait() // the first is being written now
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.WaitRoom(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("room in a full writer: %v", err)
		}
		waited := make(chan error, 1)
		go func() { waited <- w.WaitRoom(t.Context(), 100) }()
		_, _ = io.ReadFull(far, make([]byte, 100))
		if err := <-waited; err != nil {
			t.Error(err)
		}
		broken := errors.New("broken")
		w.Fail(broken)
		if _, err := w.Write([]byte("x")); !errors.Is(err, broken) {
			t.Errorf("writing after Fail: %v", err)
		}
	})
}

func TestAPeerThatDoesNotReadHasATimeLimit(t *testing.T) {
	for name, end := range map[string]func(*Writer){
		"each write": func(w *Writer) { w.mu.Lock(); w.timeout = time.Second; w.mu.Unlock() },
		"closing":    func(w *Writer) { w.Close(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, _ := net.Pipe()
				w := New(near, 0)
				_, _ = w.Write([]byte("ab"))
				end(w)
				if err := w.Run(); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Run ended with %v", err)
				}
			})
		})
	}
}
