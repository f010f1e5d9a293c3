package listen

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPortInUseSaysWhatToDo(t *testing.T) {
	var port Port
	l, err := port.Open(t.Context(), "127.0.0.1:0", "telnet_port")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if addr, err := port.Addr(t.Context()); err != nil || addr != l.Addr() {
		t.Errorf("the port says %v, %v", addr, err)
	}
	_, err = Open(t.Context(), l.Addr().String(), "telnet_port")
	if err == nil || !strings.Contains(err.Error(), "the port is in use") || !strings.Contains(err.Error(), "set telnet_port") {
		t.Errorf("got %v", err)
	}
	port.Forget()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if addr, err := port.Addr(ctx); err == nil {
		t.Errorf("a port that is closed says %v", addr)
	}
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	l, err := Open(t.Context(), "127.0.0.1:0", "port")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, served := make(chan struct{}), make(chan net.Conn, 1)
	go func() {
		defer close(ended)
		Accept(ctx, l, slog.New(slog.DiscardHandler), func(c net.Conn) { served <- c })
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer (<-served).Close()
	cancel()
	<-ended
}

// short is a listener that lacks file descriptors.
type short struct{ calls int }

func (s *short) Accept() (net.Conn, error) { s.calls++; return nil, syscall.EMFILE }
func (s *short) Close() error              { return nil }
func (s *short) Addr() net.Addr            { return &net.TCPAddr{} }

func TestAShortageIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l := &short{}
		Accept(ctx, l, slog.New(slog.DiscardHandler), func(net.Conn) {})
		if l.calls > 11 {
			t.Errorf("accepted %d times in a second", l.calls)
		}
	})
}
