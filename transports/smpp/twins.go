package smpp

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"switchboard/store"
)

const (
	// maxGiven is how many of the SMSC's latest ids a process knows again, by
	// their hashes alone.
	maxGiven = 1 << 16
	// maxTwins is how many repeated ids a process has in mind; then it begins
	// anew, with what the state store has.
	maxTwins = 1000
	// maxSharers is how many messages may have one id, and maxSharing how many
	// parts. Of one that more were given, as by an SMSC that answers 0 to all,
	// nothing can be told: it is no id, and the messages have none.
	maxSharers = 8
	maxSharing = 40
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
	left []known // the latest of which another answer told the true id
	many bool    // too many: none is kept
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
	return t.shared[key] != nil
}

// worthless says whether an id is one of so many messages that it is none's.
func (t *twins) worthless(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shared[key]
	return s != nil && s.many
}

// unwritten: an id was given to several, and they are not written down yet.
func (t *twins) unwritten(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shared[key]
	return s != nil && !s.many && len(s.list) == 0
}

func (k known) samePart(o known) bool { return k.Message == o.Message && k.N == o.N }

// join adds what is known to those that share an id; kept is what the store has
// of them. It returns all, and whether they have become too many.
func (t *twins) join(key string, kept, more []known) (list []known, many bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shared[key]
	if s == nil {
		s = &sharers{}
		t.shared[key] = s
	}
	list = slices.Clone(kept) // first: of these the last word may have been said
	for _, k := range slices.Concat(s.list, more) {
		if !slices.ContainsFunc(list, k.samePart) {
			list = append(list, k)
		}
	}
	list = slices.DeleteFunc(list, func(k known) bool { return slices.ContainsFunc(s.left, k.samePart) })
	if tooMany(list) {
		*s = sharers{many: true}
		return list, true
	}
	s.list = slices.Clone(list)
	return list, false
}

func tooMany(list []known) bool {
	messages := map[string]bool{}
	for _, k := range list {
		messages[k.Message] = true
	}
	return len(messages) > maxSharers || len(list) > maxSharing || slices.ContainsFunc(list, func(k known) bool { return k.Many })
}

// leave takes a part from those that share an id.
func (t *twins) leave(key string, k known) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.shared[key]; s != nil {
		s.left = append(s.left[max(0, len(s.left)-maxSharers+1):], k)
	}
}

// share writes down that a part has an id that others have too; it tries until
// the store has it, or the transport ends.
func (e *engine) share(ctx context.Context, key string, k known) error {
	for {
		err := e.reshare(ctx, key, k)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(maxSetPause):
			continue
		case <-ctx.Done():
		case <-e.gate.done:
		}
		return fmt.Errorf("%w, and remembering an id that several messages have failed: %w", errStopped, err)
	}
}

// unshare takes an id away from a part that another answer has told its own.
func (e *engine) unshare(ctx context.Context, p part, id string) error {
	key := e.keys.id(e.ids.kept(id))
	if id == "" || !e.twins.are(key) || e.twins.worthless(key) {
		return nil
	}
	e.twins.leave(key, p.known())
	return e.reshare(ctx, key)
}

// reshare writes down which parts share an id, with those that have come to it.
func (e *engine) reshare(ctx context.Context, key string, more ...known) error {
	e.twins.writing.Lock()
	defer e.twins.writing.Unlock()
	kept, err := e.sharing(ctx, key)
	if err != nil {
		return err
	}
	list, many := e.twins.join(key, kept, more)
	var entries []store.Entry
	ttl := e.options.ThirdPartyIDExpiry.Std()
	switch {
	case many:
		e.metrics.oddity("worthless message_id")
		e.logger.Warn("the SMSC gives one message_id to many messages; their receipts can be told by their references alone", "key", key)
		entries = []store.Entry{{Key: key, Value: known{Many: true}.encode(), TTL: ttl}}
		for _, k := range list {
			entries = append(entries, e.nameless(k)...)
		}
	case len(list) > 0:
		entries = []store.Entry{{Key: key, Value: together(list).encode(), TTL: ttl}}
	}
	return e.state.Set(ctx, entries...)
}

// nameless is by what the receipt of a part is found whose id says nothing: its
// reference, where it has one.
func (e *engine) nameless(k known) []store.Entry {
	if k.Ref == 0 || k.Dead || k.Many || k.Final != "" {
		return nil
	}
	k.Nameless, k.Same = true, nil
	return []store.Entry{{Key: e.keys.nameless(k), Value: k.encode(), TTL: e.options.ThirdPartyIDExpiry.Std()}}
}

// sharing are the parts that have an id, as far as the store has them.
func (e *engine) sharing(ctx context.Context, key string) ([]known, error) {
	found, err := e.state.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking whose an id is: %w", err)
	}
	var k known
	if found[key] == "" || json.Unmarshal([]byte(found[key]), &k) != nil {
		return nil, nil
	}
	return k.all(), nil
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

func only[T any](list []T, fits func(T) bool) (chosen []T) {
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
	list, err := e.sharing(ctx, m.key)
	if err != nil {
		return err
	}
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
