package doors

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"switchboard/message"
)

const (
	// perHost is how many calls one host has at once.
	perHost = 100
	// failsAfter is how many calls of a host fail in a row, before it has only probes calls
	// at once; those beyond are tried again later.
	failsAfter = 5
	probes     = 5
	// maxHosts bounds how many failing hosts are remembered.
	maxHosts = 1000
)

// hosts bounds what each host of clients' programs takes of the calls, so that one that hangs
// leaves room for the others: when it dies, what is in flight waits for one timeout at most.
type hosts struct {
	mu   sync.Mutex
	byIt map[string]*host
}

// host is one that is being called, or that fails.
type host struct {
	places chan struct{}
	users  int // being called, and waiting for a place
	failed int // calls in a row
}

// enter waits for a place at the host of an address. A host that fails is left alone by all
// but a few; leave takes the call's outcome.
func (h *hosts) enter(ctx context.Context, address string) (leave func(error), err error) {
	name := ""
	if u, err := url.Parse(address); err == nil {
		name = u.Host
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.byIt[name]
	if at == nil {
		at = &host{places: make(chan struct{}, perHost)}
		h.add(name, at)
	}
	at.users++
	if err := h.await(ctx, at); err != nil {
		h.drop(name, at)
		return nil, fmt.Errorf("calling %s: %w", name, err)
	}
	return func(outcome error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		<-at.places
		switch {
		case errors.Is(outcome, context.Canceled): // says nothing of the host
		case outcome == nil, message.IsPermanent(outcome):
			at.failed = 0
		default:
			at.failed++
		}
		h.drop(name, at)
	}, nil
}

var errFails = errors.New("its calls fail, and a few are tried at a time")

// await takes a place. It is called with the lock, which it gives up while it waits.
func (h *hosts) await(ctx context.Context, at *host) error {
	if at.failed < failsAfter {
		h.mu.Unlock()
		select {
		case at.places <- struct{}{}:
			h.mu.Lock()
		case <-ctx.Done():
			h.mu.Lock()
			return ctx.Err()
		}
		if at.failed < failsAfter {
			return nil
		}
		<-at.places // it has begun to fail meanwhile
	}
	if len(at.places) < probes {
		select {
		case at.places <- struct{}{}:
			return nil
		default: // those who waited have taken all
		}
	}
	return errFails
}

func (h *hosts) add(name string, at *host) {
	if h.byIt == nil {
		h.byIt = map[string]*host{}
	}
	for other, o := range h.byIt {
		if len(h.byIt) < maxHosts {
			break
		}
		if o.users == 0 {
			delete(h.byIt, other)
		}
	}
	h.byIt[name] = at
}

// drop forgets a host that nobody calls any more, and that does not fail.
func (h *hosts) drop(name string, at *host) {
	if at.users--; at.users == 0 && at.failed == 0 {
		delete(h.byIt, name)
	}
}
