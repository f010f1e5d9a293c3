package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"switchboard/internal/batch"
)

var _ State = (*Batcher)(nil)

// ErrClosed is a Batcher's error after Close.
var ErrClosed = errors.New("the store's batcher is closed")

// BatchSettings bound a Batcher; a zero field takes the default.
type BatchSettings struct {
	MaxBatch int           // entries written and keys deleted, or keys read, at once; 500
	MaxQueue int           // queued requests; more block; 4,000
	Timeout  time.Duration // for one statement; 30 s
}

func (s BatchSettings) withDefaults() BatchSettings {
	if s.MaxBatch <= 0 {
		s.MaxBatch = 500
	}
	if s.MaxQueue <= 0 {
		s.MaxQueue = 4000
	}
	if s.Timeout <= 0 {
		s.Timeout = 30 * time.Second
	}
	return s
}

// Batcher is a State that joins the requests of many goroutines into few statements of
// another State: a statement has what came while the one before was under way, and none
// waits for more. It passes on what is asked of a state in memory.
//
//   - SetAsync queues entries and returns; done is called once they are written or have
//     failed, in the order in which they were queued.
//   - Set is SetAsync and waits; Delete and Get are batched likewise.
//   - Get sees what is queued and not written or deleted yet.
//   - Add and Increment are not batched. They wait for queued writes of the same key,
//     Range for all.
//   - A full queue blocks.
//
// Its methods are safe from several goroutines.
type Batcher struct {
	state    State
	direct   bool // the state is in memory
	settings BatchSettings
	writes   *batch.Group[*writeRequest]
	reads    *batch.Group[*getRequest]

	mu      sync.RWMutex // of closed, held for reading while adding
	closed  bool
	pending pendingWrites
}

// writeRequest sets entries or deletes keys.
type writeRequest struct {
	entries []Entry
	deleted []string
	done    func(error)
}

// NewBatcher makes a Batcher in front of state, which Close leaves open.
func NewBatcher(state State, settings BatchSettings) *Batcher {
	b := &Batcher{state: state, direct: InMemory(state), settings: settings.withDefaults()}
	limits := batch.Limits{Items: b.settings.MaxBatch, Queue: b.settings.MaxQueue}
	b.writes, b.reads = batch.New(limits, writeSize, b.write), batch.New(limits, readSize, b.read)
	return b
}

// InMemory says that nothing is waited for when a state is asked.
func InMemory(state State) bool {
	m, ok := state.(interface{ InMemory() bool })
	return ok && m.InMemory()
}

func writeSize(r *writeRequest) (items, bytes int) { return len(r.entries) + len(r.deleted), 0 }

// Close writes what is queued and ends the Batcher.
func (b *Batcher) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.writes.Wait()
	b.reads.Wait()
	return nil
}

// SetAsync queues entries and returns; it blocks while the queue is full. done is called
// exactly once, on a goroutine shared by all or before SetAsync returns (so it must be
// quick), if and only if SetAsync returned nil. An entry of another request may have caused done's error;
// setting again is safe.
func (b *Batcher) SetAsync(ctx context.Context, done func(error), entries ...Entry) error {
	if b.direct {
		if b.isClosed() {
			return ErrClosed
		}
		done(b.state.Set(ctx, entries...))
		return nil
	}
	return b.submit(ctx, &writeRequest{entries: entries, done: done})
}

func (b *Batcher) isClosed() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.closed
}

func (b *Batcher) submit(ctx context.Context, r *writeRequest) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	b.pending.add(r)
	if err := b.writes.Add(ctx, r); err != nil {
		b.pending.remove(r)
		return err
	}
	return nil
}

// write sets what a batch sets, then deletes the keys whose newest request deletes them.
func (b *Batcher) write(ctx context.Context, batch []*writeRequest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.settings.Timeout)
	defer cancel()
	entries, deleted := merge(batch)
	var setErr, deleteErr error
	if len(entries) > 0 {
		setErr = b.state.Set(ctx, entries...)
	}
	if deleteErr = setErr; setErr == nil && len(deleted) > 0 {
		deleteErr = b.state.Delete(ctx, deleted...)
	}
	for _, r := range batch {
		b.pending.remove(r)
		if len(r.deleted) > 0 {
			r.done(deleteErr)
		} else {
			r.done(setErr)
		}
	}
}

// merge returns what a batch sets and deletes. A key that is set and then deleted is set
// all the same: its setter learns that it was, even when the deletion fails.
func merge(batch []*writeRequest) (entries []Entry, deleted []string) {
	last := map[string]bool{}
	for _, r := range batch {
		entries = append(entries, r.entries...)
		for _, e := range r.entries {
			delete(last, e.Key)
		}
		for _, key := range r.deleted {
			last[key] = true
		}
	}
	return entries, slices.Collect(maps.Keys(last))
}

// Set stores entries, all or none. When ctx ends first, either may be true.
func (b *Batcher) Set(ctx context.Context, entries ...Entry) error {
	if b.direct && !b.isClosed() {
		return b.state.Set(ctx, entries...)
	}
	return b.await(ctx, &writeRequest{entries: entries})
}

// Delete deletes keys. When ctx ends first, they may be deleted or not. Another request
// may have caused the error; deleting again is safe.
func (b *Batcher) Delete(ctx context.Context, keys ...string) error {
	if b.direct && !b.isClosed() {
		return b.state.Delete(ctx, keys...)
	}
	return b.await(ctx, &writeRequest{deleted: keys})
}

func (b *Batcher) await(ctx context.Context, r *writeRequest) error {
	written := make(chan error, 1)
	r.done = func(err error) { written <- err }
	if err := b.submit(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush waits until the queued writes of keys are done.
func (b *Batcher) flush(ctx context.Context, keys ...string) error {
	if !b.pending.any(keys) {
		return nil
	}
	return b.Set(ctx) // requests are written in order: an empty one comes after all of them
}

// Add stores an entry unless its key is there.
func (b *Batcher) Add(ctx context.Context, e Entry) (string, bool, error) {
	if err := b.flush(ctx, e.Key); err != nil {
		return "", false, err
	}
	return b.state.Add(ctx, e)
}

// Increment adds by to a number and returns the sum.
func (b *Batcher) Increment(ctx context.Context, key string, by int64, ttl time.Duration) (int64, error) {
	if err := b.flush(ctx, key); err != nil {
		return 0, err
	}
	return b.state.Increment(ctx, key, by, ttl)
}

// Range fetches the first entries between two keys.
func (b *Batcher) Range(ctx context.Context, from, to string, limit int) ([]Entry, error) {
	if err := b.Set(ctx); err != nil { // queued writes may be in the range
		return nil, err
	}
	return b.state.Range(ctx, from, to, limit)
}

type getRequest struct {
	keys []string
	done chan getAnswer
}

type getAnswer struct {
	values map[string]string
	err    error
}

func readSize(r *getRequest) (items, bytes int) { return len(r.keys), 0 }

// Get fetches the values of those keys that are there.
func (b *Batcher) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if b.direct && !b.isClosed() {
		return b.state.Get(ctx, keys...)
	}
	values, missing := b.pending.get(keys)
	if len(missing) == 0 {
		return values, ctx.Err()
	}
	answer, err := b.fetch(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, key := range missing {
		if value, ok := answer[key]; ok {
			values[key] = value
		}
	}
	return values, nil
}

func (b *Batcher) fetch(ctx context.Context, keys []string) (map[string]string, error) {
	r := &getRequest{keys, make(chan getAnswer, 1)}
	if err := b.submitRead(ctx, r); err != nil {
		return nil, err
	}
	select {
	case a := <-r.done:
		return a.values, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *Batcher) submitRead(ctx context.Context, r *getRequest) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	return b.reads.Add(ctx, r)
}

func (b *Batcher) read(ctx context.Context, batch []*getRequest) {
	var keys []string
	for _, r := range batch {
		keys = append(keys, r.keys...)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.settings.Timeout)
	defer cancel()
	values, err := b.state.Get(ctx, keys...)
	for _, r := range batch {
		r.done <- getAnswer{values, err} // shared, and only read
	}
}

// pendingWrites are the queued writes of each key, oldest first.
type pendingWrites struct {
	mu   sync.Mutex
	keys map[string][]pendingWrite
}

type pendingWrite struct {
	request *writeRequest
	value   string
	deleted bool
	ends    time.Time // zero is never
}

func (o *pendingWrites) add(r *writeRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[string][]pendingWrite{}
	}
	for _, e := range r.entries {
		w := pendingWrite{request: r, value: e.Value}
		if e.TTL != 0 {
			w.ends = time.Now().Add(e.TTL)
		}
		o.keys[e.Key] = append(o.keys[e.Key], w)
	}
	for _, key := range r.deleted {
		o.keys[key] = append(o.keys[key], pendingWrite{request: r, deleted: true})
	}
}

func (o *pendingWrites) remove(r *writeRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range r.entries {
		o.forget(e.Key, r)
	}
	for _, key := range r.deleted {
		o.forget(key, r)
	}
}

func (o *pendingWrites) forget(key string, r *writeRequest) {
	left := slices.DeleteFunc(o.keys[key], func(w pendingWrite) bool { return w.request == r })
	if len(left) == 0 {
		delete(o.keys, key)
	} else {
		o.keys[key] = left
	}
}

// get returns the newest values, and the keys without queued writes.
func (o *pendingWrites) get(keys []string) (values map[string]string, missing []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	values = make(map[string]string, len(keys))
	for _, key := range keys {
		list := o.keys[key]
		if len(list) == 0 {
			missing = append(missing, key)
			continue
		}
		newest := list[len(list)-1]
		if !newest.deleted && (newest.ends.IsZero() || time.Now().Before(newest.ends)) {
			values[key] = newest.value
		}
	}
	return values, missing
}

func (o *pendingWrites) any(keys []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(keys, func(key string) bool { return len(o.keys[key]) > 0 })
}
