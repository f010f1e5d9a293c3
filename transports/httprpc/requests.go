package httprpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
)

// request is one that waits for its reply.
type request struct {
	began time.Time
	reply chan *reply
	ended chan struct{} // closed when it waits no longer
}

// reply is handed to the request, which says what became of it.
type reply struct {
	message *message.Message
	done    chan error // buffered
}

// requests are those that wait in this process, by their messages' IDs, and why others
// wait no longer.
type requests struct {
	most int

	mu      sync.Mutex
	waiting map[string]*request
	gone    *simplelru.LRU[string, string]
}

// maxGone is how many requests are remembered that wait no longer.
const maxGone = 10_000

func newRequests(most int) *requests {
	gone, _ := simplelru.NewLRU[string, string](maxGone, nil) // fails for sizes below 1
	return &requests{most: most, waiting: map[string]*request{}, gone: gone}
}

// open makes a request wait; nil when too many do.
func (r *requests) open(id string) *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) >= r.most {
		return nil
	}
	q := &request{began: time.Now(), reply: make(chan *reply), ended: make(chan struct{})}
	r.waiting[id] = q
	return q
}

// end makes it wait no longer, and remembers why.
func (r *requests) end(id string, q *request, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
	r.gone.Add(id, why)
	close(q.ended)
}

func (r *requests) find(id string) (q *request, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	why, _ = r.gone.Get(id)
	return r.waiting[id], why
}

func (r *requests) pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// metadataKey holds, in transport_metadata, who holds the request.
const metadataKey = "http_rpc"

// holding is what a message's transport_metadata says of its request; replies bring it
// back.
type holding struct {
	Holder string    `json:"holder"` // the process
	Until  time.Time `json:"until"`  // when the request ends at the latest
}

// reply answers the request that m is a reply to: here, or by the replica that holds it.
func (r *run) reply(ctx context.Context, m *message.Message) error {
	q, why := r.requests.find(m.InReplyTo)
	if q != nil {
		return r.answer(ctx, q, m)
	}
	var of holding
	_ = m.TransportMetadata.Decode(metadataKey, &of)
	switch {
	case why != "":
		return message.Permanent(errors.New(why))
	case of.Holder == "" || of.Holder == r.holder:
		return message.Permanent(fmt.Errorf("no request with the message_id %q waits for a reply", m.InReplyTo))
	case r.transport.state == nil:
		return message.Permanent(errors.New("another process holds the request; replicas need a DATABASE_URL that they share"))
	}
	return r.handOver(ctx, of, m)
}

// answer gives m to a request of this process, and waits until the answer is written.
func (r *run) answer(ctx context.Context, q *request, m *message.Message) error {
	one := &reply{m, make(chan error, 1)}
	select {
	case q.reply <- one:
	case <-q.ended:
		_, why := r.requests.find(m.InReplyTo)
		return message.Permanent(errors.New(why))
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-one.done:
		return message.Permanent(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Keys of the state store, which the replicas share: holders that live, replies for
// them, and what became of those.
const (
	holderKey   = "holder/"
	handOverKey = "reply/"
	outcomeKey  = "outcome/"

	// holderTTL is how long a holder counts as alive after its last word.
	holderTTL   = 6 * time.Second
	holderRenew = 2 * time.Second
	// outcomeTTL is how long a reply that was handed over, and its outcome, are kept at most.
	outcomeTTL = 10 * time.Minute
	// How often a holder looks for replies, with requests waiting and without, and how
	// often who handed one over looks what became of it.
	lookBusy = 50 * time.Millisecond
	lookIdle = time.Second
	// maxHandedOver is how many replies are taken in one look.
	maxHandedOver = 100

	answered = "ok"
)

// handOver gives a reply to the process that holds its request, and waits until it says
// what became of it. Until then the reply stays on its queue.
func (r *run) handOver(ctx context.Context, of holding, m *message.Message) error {
	state := r.transport.state
	key, outcome, alive := handOverKey+of.Holder+"/"+m.ID, outcomeKey+m.ID, holderKey+of.Holder
	if err := state.Set(ctx, store.Entry{Key: key, Value: string(m.Encode()), TTL: outcomeTTL}); err != nil {
		return fmt.Errorf("handing the reply to the process that holds the request: %w", err)
	}
	for {
		found, err := state.Get(ctx, outcome, alive)
		if err != nil {
			return fmt.Errorf("asking whether the reply was sent: %w", err)
		}
		switch said := found[outcome]; {
		case said == answered:
			return nil
		case said != "":
			return message.Permanent(errors.New(said))
		case found[alive] == "" || time.Now().After(of.Until.Add(holderTTL)):
			_ = state.Delete(ctx, key) // it ends by itself too
			return message.Permanent(errors.New("the process that held the request has ended; whether the reply was sent before is unknown"))
		}
		if !backoff.Sleep(ctx, lookBusy) {
			return ctx.Err()
		}
	}
}

// holdOn says that this process lives, and takes the replies that replicas hand over.
func (r *run) holdOn(ctx context.Context) {
	var said time.Time
	var answering sync.WaitGroup
	defer answering.Wait()
	for {
		if time.Since(said) >= holderRenew {
			said = time.Now()
			r.note(ctx, r.transport.state.Set(ctx, store.Entry{Key: holderKey + r.holder, Value: "1", TTL: holderTTL}))
		}
		list, err := r.transport.state.Range(ctx, handOverKey+r.holder+"/", handOverKey+r.holder+"0", maxHandedOver)
		r.note(ctx, err)
		for _, entry := range list {
			// What is taken is gone, so that it is answered once.
			if err := r.transport.state.Delete(ctx, entry.Key); err != nil {
				r.note(ctx, err)
				continue
			}
			answering.Go(func() { r.takeOver(ctx, entry) })
		}
		wait := lookIdle
		if r.requests.pending() > 0 {
			wait = lookBusy
		}
		if !backoff.Sleep(ctx, wait) {
			return
		}
	}
}

// takeOver answers a request with a reply that a replica was given.
func (r *run) takeOver(ctx context.Context, entry store.Entry) {
	m, err := message.Decode([]byte(entry.Value))
	if err != nil {
		r.note(ctx, err)
		return
	}
	said := answered
	q, why := r.requests.find(m.InReplyTo)
	switch {
	case q != nil:
		if err := r.answer(ctx, q, m); err != nil {
			said = err.Error()
		}
	case why != "":
		said = why
	default:
		said = fmt.Sprintf("no request with the message_id %q waits for a reply", m.InReplyTo)
	}
	r.note(ctx, r.transport.state.Set(ctx, store.Entry{Key: outcomeKey + m.ID, Value: said, TTL: outcomeTTL}))
}

// note logs a failure of the state store, now and then.
func (r *run) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		r.complain.Do(func() { r.logger.Warn("taking replies from replicas failed; it is tried again", "error", err) })
	}
}
