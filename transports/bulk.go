package transports

import (
	"context"
	"errors"
	"strings"
	"sync"

	"switchboard/message"
	"switchboard/worker"
)

// BulkSender is the optional ability of a transport to take one text for many
// people at once. The frame gathers such messages from those in flight; Send is
// called for what answers a message, and where MaxMany is 1.
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

// gatherer sends a text at once while no call with it is under way, and gathers its further
// recipients while one is. The prefetch bounds what it holds.
type gatherer struct {
	transport BulkSender
	mu        sync.Mutex
	texts     map[string]*gathering
}

// gathering is what there is of one text.
type gathering struct {
	calls   int // under way
	waiting bulk
}

// bulk is what goes in one call.
type bulk struct {
	messages []*message.Message
	results  []chan Result
}

func newGatherer(t Transport) *gatherer {
	if b, can := t.(BulkSender); can {
		return &gatherer{transport: b, texts: map[string]*gathering{}}
	}
	return nil
}

// send sends a message together with others, and returns what became of it.
func (g *gatherer) send(ctx context.Context, m *message.Message) (providerID string, err error) {
	if m.InReplyTo != "" || g.transport.MaxMany() == 1 {
		return g.transport.Send(ctx, m)
	}
	result := <-g.join(ctx, m)
	return result.ProviderID, result.Err
}

func (g *gatherer) join(ctx context.Context, m *message.Message) <-chan Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := sameText(m)
	text := g.texts[key]
	if text == nil {
		text = new(gathering)
		g.texts[key] = text
	}
	result := make(chan Result, 1)
	text.waiting.messages, text.waiting.results = append(text.waiting.messages, m), append(text.waiting.results, result)
	if text.calls == 0 || len(text.waiting.messages) >= g.transport.MaxMany() {
		g.call(ctx, key, text)
	}
	return result
}

// call begins a call with all that waits. It is called with the mutex held.
func (g *gatherer) call(ctx context.Context, key string, text *gathering) {
	many := text.waiting
	text.waiting = bulk{}
	text.calls++
	go func() {
		many.send(ctx, g.transport)
		g.mu.Lock()
		defer g.mu.Unlock()
		text.calls--
		switch {
		case text.calls > 0:
		case len(text.waiting.messages) > 0:
			g.call(ctx, key, text)
		default:
			delete(g.texts, key)
		}
	}()
}

// sameText is equal for messages that may be sent in one call.
func sameText(m *message.Message) string {
	return strings.Join([]string{
		m.Content, m.From, string(m.SessionEvent), m.Endpoint(), m.TransportMetadata.String(),
	}, "\x00")
}

func (many *bulk) send(ctx context.Context, t BulkSender) {
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
