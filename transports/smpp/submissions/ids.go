package submissions

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"switchboard/smpp/receipt"
	"switchboard/store"
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

const (
	// maxRecentIDs is how many of the SMSC's latest ids a process recognises, by
	// their hashes.
	maxRecentIDs = 1 << 16
	// maxShared is how many shared ids a process has in mind; of the others it
	// knows what the state store has.
	maxShared = 1000
	// maxSharers is how many messages may share an id, and maxSharedParts how many
	// parts. An id that more were given, as by an SMSC that answers 0 to all, is
	// overused: it counts as none.
	maxSharers     = 8
	maxSharedParts = 40
)

// duplicateIDs knows which ids the SMSC gave to more than one part: because it
// answered one submit_sm with another's id, or counts from the beginning again.
type duplicateIDs struct {
	mu     sync.Mutex
	seed   maphash.Seed
	recent *simplelru.LRU[uint64, uint64]    // hash of an id → of the part it was given to last
	shared *simplelru.LRU[string, *sharedID] // by the key of the id

	writing sync.Mutex // held while the row of a shared id is changed
}

// sharedID is what a process knows of an id beside the state store.
type sharedID struct {
	sharers  []submission
	left     []Part // the latest that turned out to have another id
	overused bool
}

func newDuplicateIDs(recent, shared int) *duplicateIDs {
	d := &duplicateIDs{seed: maphash.MakeSeed()}
	d.recent, _ = simplelru.NewLRU[uint64, uint64](recent, nil) // fails for sizes below 1
	d.shared, _ = simplelru.NewLRU[string, *sharedID](shared, nil)
	return d
}

// Given notes that the SMSC gave an id to a part, and says whether another part
// has it too.
func (s *Store) Given(p Part, id string) (repeated bool) {
	id = s.ids.stored(id)
	if repeated = s.duplicates.give(id, p); repeated {
		s.duplicates.mark(s.Prefix + "id/" + id)
	}
	return repeated
}

func (d *duplicateIDs) give(id string, p Part) (repeated bool) {
	given, owner := maphash.String(d.seed, id), maphash.String(d.seed, p.ID)+uint64(p.N)
	d.mu.Lock()
	defer d.mu.Unlock()
	before, there := d.recent.Get(given)
	d.recent.Add(given, owner)
	return there && before != owner
}

func (d *duplicateIDs) mark(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.get(key)
}

// get finds or begins what is known of a shared id. The mutex is held.
func (d *duplicateIDs) get(key string) *sharedID {
	shared, there := d.shared.Get(key)
	if !there {
		shared = new(sharedID)
		d.shared.Add(key, shared)
	}
	return shared
}

// isShared says whether an id was given to several parts, to so many that it is
// overused, and whether these are recorded.
func (d *duplicateIDs) isShared(key string) (is, overused, recorded bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	shared, is := d.shared.Peek(key)
	if !is {
		return false, false, false
	}
	return true, shared.overused, len(shared.sharers) > 0
}

// join adds parts to those that share an id; stored is what the state store has
// of them. It returns all, and whether they have become too many.
func (d *duplicateIDs) join(key string, stored, more []submission) (list []submission, overused bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	shared := d.get(key)
	messages := map[string]bool{}
	for _, row := range slices.Concat(stored, shared.sharers, more) { // the stored rows may have a final status
		left := slices.ContainsFunc(shared.left, row.same)
		if left || slices.ContainsFunc(list, func(o submission) bool { return row.same(o.Part) }) {
			continue
		}
		list = append(list, row)
		messages[row.ID] = true
		overused = overused || row.Overused
	}
	if overused || len(messages) > maxSharers || len(list) > maxSharedParts {
		*shared = sharedID{overused: true}
		return list, true
	}
	shared.sharers = list
	return list, false
}

// share records that a part has an id that others have too.
func (s *Store) share(ctx context.Context, key string, row submission) error {
	return s.record(ctx, row.ID, func() error { return s.reshare(ctx, key, row) })
}

// unshare takes an id away from a part that another answer has given its own.
func (s *Store) unshare(ctx context.Context, p Part, id string) error {
	key := s.idKey(id)
	if shared, overused, _ := s.duplicates.isShared(key); id == "" || !shared || overused {
		return nil
	}
	s.duplicates.mu.Lock()
	shared := s.duplicates.get(key)
	shared.left = append(shared.left[max(0, len(shared.left)-maxSharers+1):], p)
	s.duplicates.mu.Unlock()
	return s.reshare(ctx, key)
}

// reshare writes which parts share an id, with those that have come to it.
func (s *Store) reshare(ctx context.Context, key string, more ...submission) error {
	s.duplicates.writing.Lock()
	defer s.duplicates.writing.Unlock()
	stored, err := s.sharers(ctx, key)
	if err != nil {
		return err
	}
	list, overused := s.duplicates.join(key, stored, more)
	var entries []store.Entry
	switch {
	case overused:
		s.ProtocolError("overused message_id")
		s.Logger.Warn("the SMSC gives one message_id to many messages; only their references can match their receipts", "key", key)
		entries = []store.Entry{s.idEntry(key, submission{Part: list[0].Part, Overused: true})}
		for _, row := range list {
			entries = append(entries, s.withoutID(row)...)
		}
	case len(list) > 0:
		entries = []store.Entry{s.idEntry(key, together(list))}
	}
	return s.State.Set(ctx, entries...)
}

// sharers are the parts that have an id, as far as the state store knows.
func (s *Store) sharers(ctx context.Context, key string) ([]submission, error) {
	found, err := s.State.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking for the messages of an id: %w", err)
	}
	row, ok := read[submission](s, found, key)
	if !ok {
		return nil, nil
	}
	return row.all(), nil
}

func together(list []submission) submission {
	row := list[0]
	row.Sharers = list[1:]
	return row
}

// all are the row's own part, and those that share its id, each alone.
func (row submission) all() []submission {
	list := append([]submission{row}, row.Sharers...)
	list[0].Sharers = nil
	return list
}

// choose finds, of those that share an id, the one that a receipt is about: by its
// person, then by its reference, by its sender, and by which still waits for a
// final receipt. Where several messages are left it is about none: no message may
// get another's state.
func (row submission) choose(r Receipt) (chosen submission, ok bool) {
	fits := filter(row.all(), func(row submission) bool { return row.isFor(r) })
	for _, better := range []func(submission) bool{
		func(row submission) bool { return r.Reference != 0 && row.Reference() == r.Reference },
		func(row submission) bool { return samePerson(row.From, r.To) },
		func(row submission) bool { return row.Final == "" },
	} {
		if fewer := filter(fits, better); len(fewer) > 0 {
			fits = fewer
		}
	}
	if len(fits) == 0 || slices.ContainsFunc(fits, func(o submission) bool { return o.ID != fits[0].ID }) {
		return submission{}, false
	}
	return fits[0], true
}

func filter[T any](list []T, keep func(T) bool) (kept []T) {
	for _, item := range list {
		if keep(item) {
			kept = append(kept, item)
		}
	}
	return kept
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
func samePerson(a, b string) bool {
	if a, b = bare(a), bare(b); min(len(a), len(b)) < sameEnd {
		return a == b
	}
	return lastDigits(a) == lastDigits(b)
}

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
