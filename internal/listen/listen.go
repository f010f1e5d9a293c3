// Package listen is what all that listen on a TCP port share: errors that say
// what to do, the loop that accepts, and the address for those who wait for it.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/current"
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
type Port struct{ addr current.Value[net.Addr] }

// Open is the function Open; Addr knows the address afterwards.
func (p *Port) Open(ctx context.Context, address, option string) (net.Listener, error) {
	listener, err := Open(ctx, address, option)
	if err == nil {
		p.addr.Set(listener.Addr())
	}
	return listener, err
}

// Forget says that the port is no longer listened on.
func (p *Port) Forget() { p.addr.Clear() }

// Addr is the address that is listened on. It waits until there is one, or ctx
// ends.
func (p *Port) Addr(ctx context.Context) (net.Addr, error) { return p.addr.Get(ctx) }
