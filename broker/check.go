package broker

import (
	"fmt"
	"time"
)

// The limits of every implementation: what works on one works on all.
const (
	// MaxName is the longest queue name, routing key and header name, in
	// bytes (AMQP 0-9-1 §4.2.5.3, short strings).
	MaxName = 255
	// MaxHeaderBytes bounds a publication's headers, names and values
	// together. AMQP sends them in one frame (§4.2.6.1), of 128 KiB on RabbitMQ.
	MaxHeaderBytes = 64 << 10
	// MaxTemporary is how many bodies a temporary queue holds.
	MaxTemporary = 1000
	// MaxDelayedLook is how many bodies of each step Admin.Delayed looks at.
	MaxDelayedLook = 1000
	// MaxDelay is the longest delay of a publication.
	MaxDelay = 24 * time.Hour
)

// Destination is the routing key the body travels with: Key, or the queue's
// name as on AMQP's default exchange.
func (p Publication) Destination() string {
	if p.Queue != "" {
		return p.Queue
	}
	return p.Key
}

// Check returns an ErrInvalid when no broker takes the publication.
func (p Publication) Check() error {
	to := p.Destination()
	switch {
	case to == "":
		return fmt.Errorf("publishing with neither key nor queue: %w", ErrInvalid)
	case p.Key != "" && p.Queue != "":
		return fmt.Errorf("publishing to both key %q and queue %q: %w", p.Key, p.Queue, ErrInvalid)
	case len(to) > MaxName:
		return fmt.Errorf("publishing to a key of %d bytes, at most %d: %w", len(to), MaxName, ErrInvalid)
	case p.Delay < 0 || p.Delay > MaxDelay:
		return fmt.Errorf("publishing to %q with a delay of %v, at most %v: %w", to, p.Delay, MaxDelay, ErrInvalid)
	case p.Delay > 0 && p.Queue == "":
		return fmt.Errorf("publishing to key %q with a delay: a delay needs a queue: %w", to, ErrInvalid)
	}
	return p.Headers.check(to)
}

func (h Headers) check(to string) error {
	size := 0
	for name, value := range h {
		if len(name) > MaxName {
			return fmt.Errorf("publishing to %q with a header name of %d bytes, at most %d: %w", to, len(name), MaxName, ErrInvalid)
		}
		size += len(name) + len(value)
	}
	if size > MaxHeaderBytes {
		return fmt.Errorf("publishing to %q with %d bytes of headers, at most %d: %w", to, size, MaxHeaderBytes, ErrInvalid)
	}
	return nil
}

// CheckDeclare is Check for queues that are to be declared without a consumer.
func (q Queue) CheckDeclare() error {
	if q.Temporary {
		return fmt.Errorf("declaring queue %q: its consumer declares a temporary queue: %w", q.Name, ErrInvalid)
	}
	return q.Check()
}

// Check returns an ErrInvalid when no broker declares the queue.
func (q Queue) Check() error {
	if q.Name == "" || len(q.Name) > MaxName {
		return fmt.Errorf("declaring queue %q: its name must have 1 to %d bytes: %w", q.Name, MaxName, ErrInvalid)
	}
	for _, key := range q.Keys {
		if key == "" || len(key) > MaxName {
			return fmt.Errorf("binding queue %q to a key of %d bytes: it must have 1 to %d: %w", q.Name, len(key), MaxName, ErrInvalid)
		}
	}
	switch q.Type {
	case "", Classic, Quorum:
		return nil
	}
	return fmt.Errorf("declaring queue %q: no queue type %q: %w", q.Name, q.Type, ErrInvalid)
}
