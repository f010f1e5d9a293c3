package http

import (
	"context"
	nethttp "net/http"
	"sync"
	"time"

	"switchboard/message"
)

// replies finds the requests that wait for a reply to the message that they brought. A
// reply that no request of this process waits for is sent as others are.
type replies struct {
	stopping <-chan struct{} // closed when nothing may wait any more
	mu       sync.Mutex
	waiting  map[string]chan *reply // by the message's ID
}

// reply is a message on its way into an answer.
type reply struct {
	*message.Message
	written chan bool // whether it is in the answer
}

// begin has a request wait for the reply to the message id from now on; wait then waits
// for at most d, and returns nil where none came. Whoever gets one says whether it is written.
func (w *replies) begin(ctx context.Context, id string) (wait func(d time.Duration) *reply) {
	come := make(chan *reply, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[string]chan *reply{}
	}
	w.waiting[id] = come // of copies of a request the last: the provider has given up the others
	return func(d time.Duration) *reply {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		select {
		case one := <-come:
			return one
		case <-w.stopping:
		case <-ctx.Done():
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.waiting[id] == come {
			delete(w.waiting, id)
		}
		select {
		case one := <-come: // it came meanwhile
			return one
		default:
			return nil
		}
	}
}

// give puts a message into the answer of the request that waits for it, and says whether
// it is there.
func (w *replies) give(ctx context.Context, m *message.Message) bool {
	if m.InReplyTo == "" {
		return false
	}
	one := &reply{m, make(chan bool, 1)}
	w.mu.Lock()
	come := w.waiting[m.InReplyTo]
	if come != nil {
		delete(w.waiting, m.InReplyTo)
		come <- one
	}
	w.mu.Unlock()
	if come == nil {
		return false
	}
	select {
	case written := <-one.written:
		return written
	case <-ctx.Done():
		return false
	}
}

// writeReply answers a request with a reply. Where it reports false the reply is sent as
// others are.
func (r *run) writeReply(w nethttp.ResponseWriter, q *nethttp.Request, found *route, s scope, one *reply) (written bool) {
	defer func() { one.written <- written }()
	sent := &sending{Message: one.Message, to: one.To}
	err := r.expect(q.Context(), []*sending{sent}, 1, 1)
	if err == nil {
		err = r.write(w, found.reply, found.headers, s.with(r.scopeOf(sent, one.Content, 1, 1)), nethttp.StatusOK)
	}
	if err == nil {
		err = nethttp.NewResponseController(w).Flush()
	}
	if err != nil {
		r.logger.Warn("putting a reply into the answer failed; it is sent instead", "message_id", one.ID, "error", err)
		return false
	}
	r.metrics.sent(r.transport.TransportName, Sent)
	r.log.replied(s, one.Message)
	return true
}
