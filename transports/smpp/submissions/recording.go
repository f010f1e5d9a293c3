package submissions

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// recordingWait is how long a receipt waits until the answer to its submit, which
// came before it, is recorded. Then it is held.
const recordingWait = time.Second

// recording knows the parts that the SMSC has accepted and that are not recorded
// yet, by hashes of what their receipts bring.
type recording struct {
	seed maphash.Seed
	mu   sync.Mutex
	open map[uint64]chan struct{} // nil when nobody waits
}

func newRecording() *recording {
	return &recording{seed: maphash.MakeSeed(), open: map[uint64]chan struct{}{}}
}

// hash is that of an id, or of a person's reference.
func (r *recording) hash(text string, reference uint16) uint64 {
	return maphash.String(r.seed, text) ^ uint64(reference)
}

func (r *recording) begin(key uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.open[key]; !there {
		r.open[key] = nil
	}
}

func (r *recording) end(key uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done := r.open[key]; done != nil {
		close(done)
	}
	delete(r.open, key)
}

// await waits until what has one of the keys is recorded.
func (r *recording) await(ctx context.Context, key uint64) {
	r.mu.Lock()
	done, there := r.open[key]
	if there && done == nil {
		done = make(chan struct{})
		r.open[key] = done
	}
	r.mu.Unlock()
	if !there {
		return
	}
	late := time.NewTimer(recordingWait)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	case <-ctx.Done():
	}
}

// Accepting says that the SMSC has accepted a part: Accepted follows, or Answered,
// and receipts that come meanwhile wait for it. It does not block. It reports
// whether another part was given the id too.
func (s *Store) Accepting(p Part, id string) (repeated bool) {
	s.recordingOf(p, id, s.recording.begin)
	return id != "" && s.given.give(s.ids.stored(id), p)
}

func (s *Store) recordingOf(p Part, id string, do func(key uint64)) {
	if id != "" {
		do(s.recording.hash(s.ids.stored(id), 0))
	}
	if reference := p.Reference(); reference != 0 {
		do(s.recording.hash(lastDigits(p.To), reference))
	}
}

// awaitRecording waits until what a receipt may be about is recorded.
func (s *Store) awaitRecording(ctx context.Context, r Receipt) {
	for _, c := range r.candidates {
		s.recording.await(ctx, s.recording.hash(c.ID, 0))
	}
	if r.Reference != 0 {
		s.recording.await(ctx, s.recording.hash(lastDigits(r.From), r.Reference))
	}
}
