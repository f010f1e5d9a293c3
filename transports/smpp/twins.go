package smpp

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"slices"
	"sync"

	"switchboard/store"
)

const (
	// maxGiven is how many of the SMSC's latest ids a process knows again, by
	// their hashes alone.
	maxGiven = 1 << 16
	// maxTwins is how many repeated ids a process has in mind; then it begins
	// anew, with what the state store has.
	maxTwins = 1000
	// maxSharing is how many parts an id is kept for. One that is given more often
	// says nothing, as with an SMSC that answers 0 to all: then it stands for the
	// last that got it, and nobody waits for the others to be written down.
	maxSharing = 20
)

// twins knows which of the SMSC's ids were given to more than one message: by an
// SMSC that answers before it is asked, or that counts from the beginning again.
type twins struct {
	mu     sync.Mutex
	seed   maphash.Seed
	given  map[uint64]uint64 // hash of an id → of the part it was given to last
	ring   []uint64          // the keys of given, the oldest at next
	next   int
	shared map[string]*sharers // by the id's key

	writing sync.Mutex // held while what is kept of a shared id is changed
}

// sharers are the parts of messages that were given one id.
type sharers struct {
	list []known
	left []known // those of which a later answer told the true id
	void bool    // more than maxSharing have it
}

func newTwins() *twins {
	return &twins{seed: maphash.MakeSeed(), given: map[uint64]uint64{}, shared: map[string]*sharers{}}
}

// given takes down that the SMSC gave an id to a part, and says whether another
// has it too.
func (e *engine) given(id string, p part) (repeated bool) {
	id = e.ids.kept(id)
	if repeated = e.twins.give(id, p.id, p.n); repeated {
		e.twins.mark(e.keys.id(id))
	}
	return repeated
}

func (t *twins) give(id, message string, n int) (repeated bool) {
	given, owner := maphash.String(t.seed, id), maphash.String(t.seed, message)+uint64(n)
	t.mu.Lock()
	defer t.mu.Unlock()
	before, there := t.given[given]
	t.given[given] = owner
	switch {
	case there:
		return before != owner
	case len(t.ring) < maxGiven:
		t.ring = append(t.ring, given)
	default:
		delete(t.given, t.ring[t.next])
		t.ring[t.next] = given
		t.next = (t.next + 1) % maxGiven
	}
	return false
}

// mark takes down that an id is one of several.
func (t *twins) mark(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared[key] == nil {
		if len(t.shared) >= maxTwins {
			clear(t.shared)
		}
		t.shared[key] = &sharers{}
	}
}

// are says whether an id is one of several messages.
func (t *twins) are(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shared[key]
	return s != nil && !s.void
}

// unwritten: an id was given to several, and they are not written down yet.
func (t *twins) unwritten(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shared[key]
	return s != nil && !s.void && len(s.list) == 0
}

func (k known) samePart(o known) bool { return k.Message == o.Message && k.N == o.N }

// join adds what is known to those that share an id; kept is what the store has
// of them. It returns all.
func (t *twins) join(key string, kept []known, more ...known) []known {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shared[key]
	if s == nil {
		s = &sharers{}
		t.shared[key] = s
	}
	list := slices.Clone(kept) // first: of these the last word may have been said
	for _, k := range slices.Concat(s.list, more) {
		if !slices.ContainsFunc(list, k.samePart) {
			list = append(list, k)
		}
	}
	s.list = slices.DeleteFunc(list, func(k known) bool { return slices.ContainsFunc(s.left, k.samePart) })
	if len(s.list)+len(s.left) > maxSharing {
		s.void, s.left, s.list = true, nil, s.list[len(s.list)-1:]
	}
	return slices.Clone(s.list)
}

// leave takes a part from those that share an id.
func (t *twins) leave(key string, k known) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.shared[key]; s != nil {
		s.left = append(s.left, k)
	}
}

// share writes down that a part has an id that others have too.
func (e *engine) share(ctx context.Context, key string, k known) {
	e.twins.writing.Lock()
	defer e.twins.writing.Unlock()
	e.writeShared(ctx, key, k.Message, e.twins.join(key, e.sharing(ctx, key), k))
}

// unshare takes an id away from a part that another answer has told its own.
func (e *engine) unshare(ctx context.Context, p part, id string) {
	key := e.keys.id(e.ids.kept(id))
	if id == "" || !e.twins.are(key) {
		return
	}
	e.twins.writing.Lock()
	defer e.twins.writing.Unlock()
	e.twins.leave(key, p.known())
	e.writeShared(ctx, key, p.id, e.twins.join(key, e.sharing(ctx, key)))
}

// sharing are the parts that have an id, as far as the store has them.
func (e *engine) sharing(ctx context.Context, key string) []known {
	found, err := e.state.Get(ctx, key)
	var k known
	if err != nil || found[key] == "" || json.Unmarshal([]byte(found[key]), &k) != nil {
		return nil
	}
	return k.all()
}

func (e *engine) writeShared(ctx context.Context, key, messageID string, list []known) {
	if len(list) == 0 {
		return
	}
	e.mustSet(ctx, messageID, store.Entry{Key: key, Value: together(list).encode(), TTL: e.options.ThirdPartyIDExpiry.Std()})
}

// together keeps several under one id.
func together(list []known) known {
	k := list[0]
	k.Same = list[1:]
	return k
}

// all are k, and those that share its id, each alone.
func (k known) all() []known {
	list := append([]known{k}, k.Same...)
	list[0].Same = nil
	return list
}

// meant is the one of those that share an id that a receipt is about: by its
// person, then by its reference, then by the sender. Where several are left,
// none is: no message may get another's state.
func (k known) meant(h heldReceipt) (known, bool) {
	fits := slices.DeleteFunc(k.all(), func(k known) bool { return !k.isFor(h) })
	for _, better := range []func(known) bool{
		func(k known) bool { return h.Ref != 0 && k.Ref == h.Ref },
		func(k known) bool { return samePerson(k.From, h.To) },
	} {
		if chosen := only(fits, better); len(fits) > 1 && len(chosen) > 0 {
			fits = chosen
		}
	}
	if len(fits) == 0 || slices.ContainsFunc(fits, func(o known) bool { return o.Message != fits[0].Message }) {
		return known{}, false
	}
	chosen := fits[max(0, slices.IndexFunc(fits, func(k known) bool { return k.Final == "" }))]
	chosen.Same = slices.DeleteFunc(k.all(), chosen.samePart)
	return chosen, true
}

func only(list []known, fits func(known) bool) (chosen []known) {
	for _, k := range list {
		if fits(k) {
			chosen = append(chosen, k)
		}
	}
	return chosen
}

// concludeShared is conclude for a part whose id others have too.
func (e *engine) concludeShared(ctx context.Context, m match) error {
	e.twins.writing.Lock()
	defer e.twins.writing.Unlock()
	list := e.sharing(ctx, m.key)
	for i := range list {
		if list[i].samePart(m.known) {
			list[i].Final = m.Final
		}
	}
	if len(list) == 0 {
		list = m.all()
	}
	return e.state.Set(ctx, store.Entry{Key: m.key, Value: together(list).encode(), TTL: e.options.ThirdPartyIDExpiry.Std()})
}
