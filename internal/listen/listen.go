// Package listen is what all that listen on a TCP port share: errors that say
// what to do, the loop that accepts, and the address for those who wait for it.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"switchboard/internal/backoff"
)

// Open listens on a TCP address, host:port; port 0 takes any free one. option is
// the key of the configuration that chose it, for the error.
func Open(ctx context.Context, address, option string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listening on %s: the port is in use; stop the program that has it, or set %s to another one", address, option)
	case err != nil:
		return nil, fmt.Errorf("listening on %s: %w; set %s to an address and port that this user may listen on", address, err, option)
	}
	return listener, nil
}

// acceptPause keeps a shortage (of file descriptors, say) from being a busy loop.
const acceptPause = 100 * time.Millisecond

// Accept calls serve with each connection until ctx ends, which closes l, or l
// is closed. serve must not block.
func Accept(ctx context.Context, l net.Listener, log *slog.Logger, serve func(net.Conn)) {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			serve(conn)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			log.Warn("accepting a connection failed", "address", l.Addr().String(), "error", err)
			if !backoff.Sleep(ctx, acceptPause) {
				return
			}
		}
	}
}

// Port is a port that is listened on or will be. The zero value is ready.
type Port struct {
	mu      sync.Mutex
	addr    net.Addr
	changed chan struct{} // closed when addr is set; nil when nobody waits
}

// Open is the function Open; Addr knows the address afterwards.
func (p *Port) Open(ctx context.Context, address, option string) (net.Listener, error) {
	listener, err := Open(ctx, address, option)
	if err == nil {
		p.set(listener.Addr())
	}
	return listener, err
}

// Forget says that the port is no longer listened on.
func (p *Port) Forget() { p.set(nil) }

func (p *Port) set(addr net.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addr = addr
	if addr != nil && p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// Addr is the address that is listened on. It waits until there is one, or ctx
// ends.
func (p *Port) Addr(ctx context.Context) (net.Addr, error) {
	for {
		addr, changed := p.look()
		if addr != nil {
			return addr, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *Port) look() (net.Addr, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.addr == nil && p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.addr, p.changed
}
