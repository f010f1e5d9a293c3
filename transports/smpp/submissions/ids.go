package submissions

import (
	"cmp"
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"switchboard/smpp/receipt"
)

// idFormats knows how the SMSC spells its ids in answers and in receipts.
type idFormats struct {
	detect          bool
	submit, receipt receipt.IDFormat

	mu       sync.Mutex
	detector receipt.Detector
}

// stored is the spelling under which the id of a submit_sm_resp is stored.
func (f *idFormats) stored(id string) string { return f.submit.Normal(id) }

// candidates are the stored spellings a receipt's id may mean, the likeliest
// first.
func (f *idFormats) candidates(id string) []receipt.Candidate {
	if !f.detect {
		return []receipt.Candidate{{ID: f.receipt.Normal(id)}}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.detector.Submitted(id)
}

func (f *idFormats) observe(r receipt.Relation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.detector.Observe(r)
}

// inReceipts are the spellings that receipts may use for the id of a
// submit_sm_resp.
func (f *idFormats) inReceipts(id string) []string {
	if !f.detect {
		return []string{f.submit.Normal(id)}
	}
	return receipt.Spellings(id)
}

// maxRecentIDs is how many of the SMSC's latest ids a process recognises, by
// their hashes.
const maxRecentIDs = 1 << 16

// givenIDs knows which of the SMSC's latest ids it gave to more than one part.
type givenIDs struct {
	seed   maphash.Seed
	mu     sync.Mutex
	recent *simplelru.LRU[uint64, givenID] // by the hash of the id
}

type givenID struct {
	part     uint64 // the hash of the one it was given to last
	repeated bool
}

func newGivenIDs(most int) *givenIDs {
	recent, _ := simplelru.NewLRU[uint64, givenID](most, nil) // fails for sizes below 1
	return &givenIDs{seed: maphash.MakeSeed(), recent: recent}
}

func (g *givenIDs) hash(text string) uint64 { return maphash.String(g.seed, text) }

// give notes that the SMSC gave an id to a part, and says whether another part has
// it too.
func (g *givenIDs) give(id string, p Part) (repeated bool) {
	key, part := g.hash(id), g.hash(p.ID)+uint64(p.N)
	g.mu.Lock()
	defer g.mu.Unlock()
	before, there := g.recent.Get(key)
	repeated = there && before.part != part
	g.recent.Add(key, givenID{part, before.repeated || repeated})
	return repeated
}

func (g *givenIDs) isRepeated(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	given, _ := g.recent.Peek(g.hash(id))
	return given.repeated
}

// isFor: the message went to the person whose receipt it is. Some SMSCs swap the
// two addresses.
func (row submission) isFor(r Receipt) bool {
	return samePerson(row.To, r.From) || samePerson(row.To, r.To)
}

// contradicts: the receipt has another submit's reference.
func (row submission) contradicts(r Receipt) bool {
	return row.Reference() != 0 && r.Reference != 0 && row.Reference() != r.Reference
}

// sameEnd is how many digits at the end of two numbers make them the same: one
// may have a country code, the other a trunk prefix.
const sameEnd = 8

// samePerson compares addresses as different ends of an SMSC spell them.
func samePerson(a, b string) bool { return lastDigits(a) == lastDigits(b) }

// lastDigits are what the spellings of one number have in common.
func lastDigits(addr string) string {
	addr = bare(addr)
	return strings.ReplaceAll(addr[max(0, len(addr)-sameEnd):], "/", "_")
}

func bare(addr string) string { return strings.TrimLeft(addr, "+0 ") }

func between(to, from string) string {
	escape := func(addr string) string { return cmp.Or(strings.ReplaceAll(bare(addr), "/", "_"), "-") }
	return escape(to) + "/" + escape(from)
}

// recordingWait is how long a receipt waits until the answer to its submit, which
// came before it, is recorded. Then it is held.
const recordingWait = time.Second

// recording has the hashes of that by which receipts find the parts that the SMSC has
// accepted, as long as it is not written.
type recording struct {
	mu   sync.Mutex
	open map[uint64]chan struct{} // nil while nobody waits
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

// await waits until what has a hash is written.
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

func (s *Store) recordingOf(p Part, id string, do func(key uint64)) {
	if id != "" {
		do(s.given.hash(s.ids.stored(id)))
	}
	if reference := p.Reference(); reference != 0 {
		do(s.given.hash(lastDigits(p.To)) ^ uint64(reference))
	}
}

// awaitRecording waits until that is written by which a receipt finds its part.
func (s *Store) awaitRecording(ctx context.Context, r Receipt) {
	for _, c := range r.candidates {
		s.recording.await(ctx, s.given.hash(c.ID))
	}
	if r.Reference != 0 {
		s.recording.await(ctx, s.given.hash(lastDigits(r.From))^uint64(r.Reference))
	}
}
