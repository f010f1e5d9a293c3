package transports

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/worker"
)

// BulkSender is the optional ability of a transport to take one text for many
// people at once. The frame gathers such messages from those in flight; Send is
// called for what answers a message.
type BulkSender interface {
	Transport
	// MaxMany is how many messages SendMany takes at most, above 0.
	MaxMany() int
	// SendMany sends messages that differ in their recipient
	// and ID and have the same content, from_addr, session_event, endpoint and
	// transport_metadata. It returns what became of each, in their order, with
	// Send's promises.
	SendMany(ctx context.Context, messages []*message.Message) []Result
}

// Result is what became of one of several messages: what Send would return.
type Result struct {
	ProviderID string
	Err        error
}

// errResults: nobody knows which messages were sent.
var errResults = errors.New("the transport did not answer for each of the messages it was given at once")

// gatherWait is how long the first of several messages waits for others with
// its text.
const gatherWait = 5 * time.Millisecond

// gatherer gathers messages with the same text. The prefetch bounds what it holds.
type gatherer struct {
	transport BulkSender
	mu        sync.Mutex
	open      map[string]*gathering
}

type gathering struct {
	messages []*message.Message
	results  []chan Result
	timer    *time.Timer
}

func newGatherer(t Transport) *gatherer {
	if b, can := t.(BulkSender); can {
		return &gatherer{transport: b, open: map[string]*gathering{}}
	}
	return nil
}

// send sends a message together with others, and returns what became of it.
func (g *gatherer) send(ctx context.Context, m *message.Message) (providerID string, err error) {
	if m.InReplyTo != "" {
		return g.transport.Send(ctx, m)
	}
	result := <-g.join(ctx, m)
	return result.ProviderID, result.Err
}

func (g *gatherer) join(ctx context.Context, m *message.Message) <-chan Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := sameText(m)
	many := g.open[key]
	if many == nil {
		many = new(gathering)
		many.timer = time.AfterFunc(gatherWait, func() { g.close(ctx, key, many) })
		g.open[key] = many
	}
	result := make(chan Result, 1)
	many.messages, many.results = append(many.messages, m), append(many.results, result)
	if len(many.messages) >= g.transport.MaxMany() {
		many.timer.Stop()
		delete(g.open, key)
		go many.send(ctx, g.transport)
	}
	return result
}

// sameText is equal for messages that may be sent in one call.
func sameText(m *message.Message) string {
	return strings.Join([]string{
		m.Content, m.From, string(m.SessionEvent), m.Endpoint(), m.TransportMetadata.String(),
	}, "\x00")
}

// close sends what has gathered, unless it was full before.
func (g *gatherer) close(ctx context.Context, key string, many *gathering) {
	g.mu.Lock()
	mine := g.open[key] == many
	if mine {
		delete(g.open, key)
	}
	g.mu.Unlock()
	if mine {
		many.send(ctx, g.transport)
	}
}

func (many *gathering) send(ctx context.Context, t BulkSender) {
	var results []Result
	err := worker.Protect(func() error {
		results = t.SendMany(ctx, many.messages)
		return nil
	})
	if err == nil && len(results) != len(many.messages) {
		// Trying again would send all of them again.
		err = message.Permanent(errResults)
	}
	for i, result := range many.results {
		if err != nil {
			result <- Result{Err: err}
			continue
		}
		result <- results[i]
	}
}
