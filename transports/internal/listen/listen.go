// Package listen is what transports that listen on a TCP port share: errors
// that say what to do, and the address to those who wait for it.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"switchboard/message"
)

// Port is a port that is listened on or will be. The zero value is ready.
type Port struct {
	mu      sync.Mutex
	addr    net.Addr
	changed chan struct{} // closed when addr is set; nil when nobody waits
}

// Open listens on a TCP address, host:port; port 0 takes any free one. option
// is the key of the configuration that chose it, for the error, which is marked
// message.Permanent: the same port will not become free by trying again.
func (p *Port) Open(ctx context.Context, address, option string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, message.Permanent(fmt.Errorf(
			"listening on %s: the port is in use; stop the program that has it, or set %s to another one", address, option))
	case err != nil:
		return nil, message.Permanent(fmt.Errorf(
			"listening on %s: %w; set %s to an address and port that this user may listen on", address, err, option))
	}
	p.set(listener.Addr())
	return listener, nil
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
