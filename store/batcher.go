package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

var _ State = (*Batcher)(nil)

// ErrClosed is what a Batcher answers after Close.
var ErrClosed = errors.New("the store's batcher is closed")

// BatchSettings bound a Batcher; a zero field takes the default.
type BatchSettings struct {
	MaxBatch int           // entries written and keys deleted, or keys read, at once; 500
	MaxDelay time.Duration // how long a batch waits to be filled, at most; 5 ms
	MaxQueue int           // requests that wait; more block; 4,000
	Timeout  time.Duration // for one statement; 30 s
}

func (s BatchSettings) withDefaults() BatchSettings {
	if s.MaxBatch <= 0 {
		s.MaxBatch = 500
	}
	if s.MaxDelay <= 0 {
		s.MaxDelay = 5 * time.Millisecond
	}
	if s.MaxQueue <= 0 {
		s.MaxQueue = 4000
	}
	if s.Timeout <= 0 {
		s.Timeout = 30 * time.Second
	}
	return s
}

// Batcher is a State that gathers what many ask of another State at about the
// same time, so that remembering every message costs a fraction of a
// statement each.
//
//   - SetAsync hands entries over and returns; done is called when they are
//     safe, or are not, in the order in which they were handed over.
//   - Set is SetAsync and waits; Delete and Get are gathered likewise.
//   - Get sees what was handed over and is not written, or deleted, yet.
//   - Add and Increment go through one by one, after what was handed over of
//     the same key before; Range after everything.
//   - A full queue blocks: nothing grows without bound.
//
// Its methods are safe from several goroutines.
type Batcher struct {
	state    State
	settings BatchSettings
	writes   chan *writeRequest
	reads    chan *getRequest
	workers  sync.WaitGroup

	mu      sync.RWMutex // of closed, held for reading while sending
	closed  bool
	pending overlay
}

// writeRequest sets entries or deletes keys.
type writeRequest struct {
	entries []Entry
	deleted []string
	done    func(error)
}

// NewBatcher puts a Batcher before state. Close ends it, and leaves state open.
func NewBatcher(state State, settings BatchSettings) *Batcher {
	settings = settings.withDefaults()
	b := &Batcher{
		state: state, settings: settings,
		writes: make(chan *writeRequest, settings.MaxQueue),
		reads:  make(chan *getRequest, settings.MaxQueue),
	}
	b.workers.Go(func() { batches(b.writes, settings, writeSize, b.write) })
	b.workers.Go(func() { batches(b.reads, settings, readSize, b.read) })
	return b
}

func writeSize(r *writeRequest) int { return len(r.entries) + len(r.deleted) }

// Close writes what was handed over and ends the Batcher.
func (b *Batcher) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if !closed {
		close(b.writes)
		close(b.reads)
	}
	b.workers.Wait()
	return nil
}

// batches gathers requests until there are MaxBatch entries in them or a delay
// has passed since the first, and gives them to do; it returns when queue is
// closed and empty. The more requests the last batch had, the longer the next
// one waits for as many: who is alone hardly waits.
func batches[R any](queue <-chan R, s BatchSettings, size func(R) int, do func([]R)) {
	var batch []R
	timer := time.NewTimer(s.MaxDelay)
	defer timer.Stop()
	for first := range queue {
		crowd := min(max(len(batch), 1), fullCrowd)
		timer.Reset(s.MaxDelay * time.Duration(crowd) / fullCrowd)
		batch = append(batch[:0], first)
		for n := size(first); n < s.MaxBatch; {
			next, ok := receive(queue, timer.C)
			if !ok {
				break
			}
			batch = append(batch, next)
			n += size(next)
		}
		do(batch)
		clear(batch)
	}
}

// fullCrowd is how many requests of a batch make the next one wait for MaxDelay.
const fullCrowd = 5

func receive[R any](queue <-chan R, late <-chan time.Time) (next R, ok bool) {
	select {
	case next, ok = <-queue:
		return next, ok
	case <-late:
		return next, false
	}
}

// SetAsync hands entries over to be written with others' and returns; it
// blocks while the queue is full. done is called exactly once, on a goroutine
// that all share (so it must be quick), if and only if SetAsync returned nil.
// An error given to done may be another's fault; setting again is safe.
func (b *Batcher) SetAsync(ctx context.Context, done func(error), entries ...Entry) error {
	return b.hand(ctx, &writeRequest{entries: entries, done: done})
}

func (b *Batcher) hand(ctx context.Context, r *writeRequest) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	b.pending.add(r)
	select {
	case b.writes <- r:
		return nil
	case <-ctx.Done():
		b.pending.remove(r)
		return ctx.Err()
	}
}

// write sets what a batch sets, then deletes what its last word is to delete.
func (b *Batcher) write(batch []*writeRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), b.settings.Timeout)
	defer cancel()
	entries, deleted := sum(batch)
	var set, gone error
	if len(entries) > 0 {
		set = b.state.Set(ctx, entries...)
	}
	if gone = set; set == nil && len(deleted) > 0 {
		gone = b.state.Delete(ctx, deleted...)
	}
	for _, r := range batch {
		b.pending.remove(r)
		if len(r.deleted) > 0 {
			r.done(gone)
		} else {
			r.done(set)
		}
	}
}

// sum is what a batch comes to. What is set before it is deleted is set all the
// same: whoever set it is told that it was, also when deleting fails.
func sum(batch []*writeRequest) (entries []Entry, deleted []string) {
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

// Set stores entries, all or none. When ctx ends first, they may be stored or
// not.
func (b *Batcher) Set(ctx context.Context, entries ...Entry) error {
	return b.await(ctx, &writeRequest{entries: entries})
}

// Delete forgets keys. When ctx ends first, they may be forgotten or not. An
// error may be another's fault; deleting again is safe.
func (b *Batcher) Delete(ctx context.Context, keys ...string) error {
	return b.await(ctx, &writeRequest{deleted: keys})
}

func (b *Batcher) await(ctx context.Context, r *writeRequest) error {
	written := make(chan error, 1)
	r.done = func(err error) { written <- err }
	if err := b.hand(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits until what was handed over for key is written.
func (b *Batcher) settle(ctx context.Context, keys ...string) error {
	if !b.pending.any(keys) {
		return nil
	}
	return b.Set(ctx) // requests are written in order: an empty one is a fence
}

// Add stores an entry unless its key is there.
func (b *Batcher) Add(ctx context.Context, e Entry) (string, bool, error) {
	if err := b.settle(ctx, e.Key); err != nil {
		return "", false, err
	}
	return b.state.Add(ctx, e)
}

// Increment adds by to a number and returns the sum.
func (b *Batcher) Increment(ctx context.Context, key string, by int64, ttl time.Duration) (int64, error) {
	if err := b.settle(ctx, key); err != nil {
		return 0, err
	}
	return b.state.Increment(ctx, key, by, ttl)
}

// Range fetches the first entries between two keys.
func (b *Batcher) Range(ctx context.Context, from, to string, limit int) ([]Entry, error) {
	if err := b.Set(ctx); err != nil { // a fence: what was handed over may be among them
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

func readSize(r *getRequest) int { return len(r.keys) }

// Get fetches the values of those keys that are there.
func (b *Batcher) Get(ctx context.Context, keys ...string) (map[string]string, error) {
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
	if err := b.ask(ctx, r); err != nil {
		return nil, err
	}
	select {
	case a := <-r.done:
		return a.values, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *Batcher) ask(ctx context.Context, r *getRequest) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	select {
	case b.reads <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Batcher) read(batch []*getRequest) {
	var keys []string
	for _, r := range batch {
		keys = append(keys, r.keys...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.settings.Timeout)
	defer cancel()
	values, err := b.state.Get(ctx, keys...)
	for _, r := range batch {
		r.done <- getAnswer{values, err} // shared, and only read
	}
}

// overlay holds what was handed to a Batcher and is not written yet: of each
// key the requests that set or delete it, oldest first.
type overlay struct {
	mu   sync.Mutex
	keys map[string][]waiting
}

type waiting struct {
	request *writeRequest
	value   string
	gone    bool      // it is deleted
	ends    time.Time // zero is never
}

func (o *overlay) add(r *writeRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[string][]waiting{}
	}
	for _, e := range r.entries {
		w := waiting{request: r, value: e.Value}
		if e.TTL != 0 {
			w.ends = time.Now().Add(e.TTL)
		}
		o.keys[e.Key] = append(o.keys[e.Key], w)
	}
	for _, key := range r.deleted {
		o.keys[key] = append(o.keys[key], waiting{request: r, gone: true})
	}
}

func (o *overlay) remove(r *writeRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range r.entries {
		o.forget(e.Key, r)
	}
	for _, key := range r.deleted {
		o.forget(key, r)
	}
}

func (o *overlay) forget(key string, r *writeRequest) {
	left := slices.DeleteFunc(o.keys[key], func(w waiting) bool { return w.request == r })
	if len(left) == 0 {
		delete(o.keys, key)
	} else {
		o.keys[key] = left
	}
}

// get finds the newest values, and the keys it knows nothing of.
func (o *overlay) get(keys []string) (values map[string]string, missing []string) {
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
		if !newest.gone && (newest.ends.IsZero() || time.Now().Before(newest.ends)) {
			values[key] = newest.value
		}
	}
	return values, missing
}

func (o *overlay) any(keys []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(keys, func(key string) bool { return len(o.keys[key]) > 0 })
}
