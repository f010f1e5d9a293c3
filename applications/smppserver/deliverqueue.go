package smppserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// deliverQueue is what is to be delivered to one customer, in order. Each deliver_sm
// is an entry of the state store until it is delivered or too old, under a number
// that follows the clock. All numbers and the first contents are also in memory.
type deliverQueue struct {
	state    *store.Batcher
	prefix   string // of the keys
	max      int
	ttl      time.Duration
	onLength func(n int)
	// uncertainFor is how long a write without an answer may still be done.
	uncertainFor time.Duration
	// loading is held while the stored entries are read; mu is not, because
	// sessions' readers need it.
	loading chan struct{}

	mu     sync.Mutex
	loaded bool
	last   int64     // the last number given
	list   []*queued // by number
	wake   chan struct{}
}

// queued is one deliver_sm in a queue. mu of the queue guards its fields, but for
// number and until.
type queued struct {
	number    int64
	until     time.Time
	content   *deliverSM // nil when it has to be fetched
	uncertain bool       // the store may not have it
	inFlight  bool
	notBefore time.Time
	tries     int
}

// deliverSM is a receipt or a message for a customer.
type deliverSM struct {
	ID   string // of the message it is about, or is
	Kind string // one of the kind constants
	Body *pdu.DeliverSM
}

const (
	kindReceipt = "receipt"
	kindMessage = "message"
)

// storedDeliverSM is a deliver_sm as the store has it.
type storedDeliverSM struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	Until time.Time `json:"until"`
	PDU   []byte    `json:"pdu"`
}

const (
	// inMemory is how many contents are also in memory.
	inMemory = 100
	// loadBatch is how many entries are fetched at once.
	loadBatch = 500
	// uncertainFor is longer than a statement takes that was begun under a lease.
	uncertainFor = 2 * leaseTTL
	// fullDelay is how long the fleet waits when a queue is full.
	fullDelay = 5 * time.Minute
)

func newDeliverQueue(state *store.Batcher, prefix string, o *Options, onLength func(int)) *deliverQueue {
	return &deliverQueue{
		state: state, prefix: prefix, max: o.KeepMax, ttl: o.KeepFor.Std(), onLength: onLength, uncertainFor: uncertainFor,
		wake: make(chan struct{}, 1), loading: make(chan struct{}, 1),
	}
}

func (d *deliverSM) encode(until time.Time) (string, error) {
	octets, err := (&pdu.PDU{Body: d.Body}).AppendTo(nil)
	if err != nil {
		return "", message.Permanent(fmt.Errorf("writing deliver_sm: %w", err))
	}
	text, err := json.Marshal(storedDeliverSM{ID: d.ID, Kind: d.Kind, Until: until, PDU: octets})
	return string(text), err
}

func decodeDeliverSM(text string) (d deliverSM, until time.Time, err error) {
	var s storedDeliverSM
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return d, until, err
	}
	p, err := pdu.Decode(s.PDU)
	if err != nil {
		return d, s.Until, err
	}
	body, ok := p.Body.(*pdu.DeliverSM)
	if !ok {
		return d, s.Until, errors.New("it is no deliver_sm")
	}
	return deliverSM{ID: s.ID, Kind: s.Kind, Body: body}, s.Until, nil
}

// key returns a key of fixed length, so that keys are in the order of numbers.
func (q *deliverQueue) key(number int64) string { return fmt.Sprintf("%s%016x", q.prefix, number) }

// fetch returns the first entries with a number of at least from.
func (q *deliverQueue) fetch(ctx context.Context, from int64, limit int) ([]store.Entry, error) {
	found, err := q.state.Range(ctx, q.key(from), q.prefix+"g", limit)
	if err != nil {
		return nil, fmt.Errorf("fetching what waits for a customer: %w", err)
	}
	return found, nil
}

func (q *deliverQueue) look() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// load reads, once, what was stored before this process.
func (q *deliverQueue) load(ctx context.Context) error {
	select {
	case q.loading <- struct{}{}:
		defer func() { <-q.loading }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for the state store: %w", ctx.Err())
	}
	q.mu.Lock()
	loaded := q.loaded
	q.mu.Unlock()
	if loaded {
		return nil
	}
	var list []*queued
	for from := int64(0); ; {
		found, err := q.fetch(ctx, from, loadBatch)
		if err != nil {
			return err
		}
		for _, e := range found {
			m := new(queued)
			_, m.until, _ = decodeDeliverSM(e.Value)
			if m.number, err = strconv.ParseInt(e.Key[len(q.prefix):], 16, 64); err == nil {
				list = append(list, m)
				from = m.number + 1
			}
		}
		if len(found) < loadBatch {
			break
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.loaded = true
	q.insert(list)
	return nil
}

// add stores deliver_sm and the extra entries, all or none.
func (q *deliverQueue) add(ctx context.Context, list []deliverSM, extra ...store.Entry) error {
	if err := q.load(ctx); err != nil {
		return err
	}
	now := time.Now()
	first, err := q.number(now, len(list))
	if err != nil {
		return err
	}
	until := now.Add(q.ttl)
	entries, added := extra, make([]*queued, len(list))
	for i := range list {
		text, err := list[i].encode(until)
		if err != nil {
			return err
		}
		added[i] = &queued{number: first + int64(i), until: until, content: &list[i]}
		entries = append(entries, store.Entry{Key: q.key(added[i].number), Value: text, TTL: q.ttl})
	}
	err = q.state.Set(ctx, entries...)
	if errors.Is(err, errNoLease) {
		return fmt.Errorf("keeping what a customer is to get: %w", err)
	}
	if err != nil {
		// The store may have the extra entries, so that what comes again is taken for
		// done. It is asked again when the write must have ended.
		for _, m := range added {
			m.content, m.uncertain, m.notBefore = nil, true, time.Now().Add(q.uncertainFor)
		}
		err = fmt.Errorf("keeping what a customer is to get: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) > inMemory {
		for _, m := range added {
			m.content = nil
		}
	}
	q.insert(added)
	return err
}

// number reserves numbers for k deliver_sm, if there is room, and returns the first.
func (q *deliverQueue) number(now time.Time, k int) (first int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.hasRoom(k); err != nil {
		return 0, err
	}
	first = max(q.last+1, now.UnixNano())
	q.last = first + int64(k) - 1
	return first, nil
}

// room returns an error when there is no room for k deliver_sm.
func (q *deliverQueue) room(k int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.hasRoom(k)
}

func (q *deliverQueue) hasRoom(k int) error {
	if len(q.list) > 0 && len(q.list)+k > q.max {
		return message.RetryAfter(fullDelay, fmt.Errorf(
			"the customer has not taken what waits for it: %d messages and receipts (keep_max)", len(q.list)))
	}
	return nil
}

// insert adds what is stored; mu is held. Others with greater numbers may have been
// stored sooner.
func (q *deliverQueue) insert(list []*queued) {
	for _, m := range list {
		i := len(q.list)
		for i > 0 && q.list[i-1].number > m.number {
			i--
		}
		q.list = slices.Insert(q.list, i, m)
		q.last = max(q.last, m.number)
	}
	q.onLength(len(q.list))
	q.look()
}

// take returns the first that may be delivered now, and marks it as in flight; or
// how long to wait for one, 0 when there is none to wait for.
func (q *deliverQueue) take(now time.Time) (m *queued, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.list {
		if m.inFlight {
			continue
		}
		if left := m.notBefore.Sub(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		m.inFlight = true
		return m, 0
	}
	return nil, wait
}

// content returns what is queued, nil when the store does not have it any more. It
// also fetches the contents of those behind.
func (q *deliverQueue) content(ctx context.Context, m *queued) (*deliverSM, error) {
	q.mu.Lock()
	content := m.content
	q.mu.Unlock()
	if content != nil {
		return content, nil
	}
	found, err := q.fetch(ctx, m.number, inMemory)
	if err != nil {
		return nil, err
	}
	stored := make(map[string]*deliverSM, len(found))
	for _, e := range found {
		if d, _, err := decodeDeliverSM(e.Value); err == nil {
			stored[e.Key] = &d
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i, _ := q.find(m)
	for _, behind := range q.list[i:min(i+inMemory, len(q.list))] {
		if d := stored[q.key(behind.number)]; d != nil {
			behind.content = d
		}
	}
	return m.content, nil
}

func (q *deliverQueue) find(m *queued) (i int, found bool) {
	return slices.BinarySearchFunc(q.list, m.number, func(m *queued, number int64) int { return int(m.number - number) })
}

// release puts back what was not delivered, to be tried again after a delay. A
// negative delay wakes nobody.
func (q *deliverQueue) release(m *queued, delay time.Duration) {
	q.mu.Lock()
	m.inFlight = false
	if delay > 0 {
		m.notBefore = time.Now().Add(delay)
	}
	q.mu.Unlock()
	if delay >= 0 {
		q.look()
	}
}

// deferred is release with a delay that doubles with each try.
func (q *deliverQueue) deferred(m *queued) {
	q.mu.Lock()
	delay := min(firstDelay<<min(m.tries, 10), lastDelay)
	m.tries++
	q.mu.Unlock()
	q.release(m, delay)
}

// remove deletes what is queued, here and in the store.
func (q *deliverQueue) remove(ctx context.Context, m *queued) error {
	q.mu.Lock()
	if i, found := q.find(m); found {
		q.list = slices.Delete(q.list, i, i+1)
	}
	q.onLength(len(q.list))
	q.mu.Unlock()
	q.look()
	return q.state.Delete(ctx, q.key(m.number))
}

// expired returns those that have waited for too long, and marks them as in flight.
func (q *deliverQueue) expired(now time.Time) (list []*queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.list {
		if m.until.After(now) {
			break
		}
		if !m.inFlight {
			m.inFlight = true
			list = append(list, m)
		}
	}
	return list
}
