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
// yet, by hashes of what their receipts bring. An id may be another's too: whoever
// waits for it waits a little in vain.
type recording struct {
	seed maphash.Seed
	mu   sync.Mutex
	open map[uint64]unrecorded
}

type unrecorded struct {
	parts int
	done  chan struct{} // nil when nobody waits
}

func newRecording() *recording {
	return &recording{seed: maphash.MakeSeed(), open: map[uint64]unrecorded{}}
}

// hash is that of an id, or of a person's reference.
func (r *recording) hash(text string, reference uint16) uint64 {
	return maphash.String(r.seed, text) ^ uint64(reference)
}

func (r *recording) begin(key uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.open[key]
	u.parts++
	r.open[key] = u
}

func (r *recording) end(key uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, there := r.open[key]
	if u.parts--; there && u.parts > 0 {
		r.open[key] = u
		return
	}
	delete(r.open, key)
	if u.done != nil {
		close(u.done)
	}
}

// look returns what is closed when the parts of a key are recorded; nil when none
// is being recorded.
func (r *recording) look(key uint64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, there := r.open[key]
	if there && u.done == nil {
		u.done = make(chan struct{})
		r.open[key] = u
	}
	return u.done
}

// Accepting says that the SMSC has accepted a part: Accepted follows, and receipts
// that come meanwhile wait for it. It does not block.
func (s *Store) Accepting(p Part, id string) { s.recordingOf(p, id, s.recording.begin) }

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
		s.awaitKey(ctx, s.recording.hash(c.ID, 0))
	}
	if r.Reference != 0 {
		s.awaitKey(ctx, s.recording.hash(lastDigits(r.From), r.Reference))
	}
}

func (s *Store) awaitKey(ctx context.Context, key uint64) {
	done := s.recording.look(key)
	if done == nil {
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
