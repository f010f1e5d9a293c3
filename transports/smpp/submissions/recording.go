package submissions

import (
	"context"
	"sync"
	"time"
)

// recordingWait is how long a receipt waits until the answer to its submit, which
// came before it, is recorded. Then it is held.
const recordingWait = time.Second

// recording has the keys of the rows by which receipts find the parts that the SMSC
// has accepted, as long as the rows are not written.
type recording struct {
	mu   sync.Mutex
	open map[string]chan struct{}
}

func (r *recording) begin(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[key] == nil {
		r.open[key] = make(chan struct{})
	}
}

func (r *recording) end(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done := r.open[key]; done != nil {
		close(done)
		delete(r.open, key)
	}
}

// await waits until the row of a key is written.
func (r *recording) await(ctx context.Context, key string) {
	r.mu.Lock()
	done := r.open[key]
	r.mu.Unlock()
	if done == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recordingWait)
	defer cancel()
	select {
	case <-done:
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

func (s *Store) recordingOf(p Part, id string, do func(key string)) {
	if id != "" {
		do(s.idKey(id))
	}
	if reference := p.Reference(); reference != 0 {
		do(s.referenceKey(p.To, reference))
	}
}
