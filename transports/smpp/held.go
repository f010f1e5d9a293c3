package smpp

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"switchboard/message"
)

const (
	// heldLook is how often a held receipt is looked at.
	heldLook = 5 * time.Second
	// heldPatience is how long a held receipt waits for its id alone. Then it
	// may be that of a submit to the same person that was never answered.
	heldPatience = 10 * time.Second
	// heldGiveUp is when a held receipt counts as unmatched. It is still kept.
	heldGiveUp = time.Minute
	// claimTime is how long whoever saw the same may come to the same end.
	claimTime = 5 * time.Second
	// maxHeld is how many a process looks at; those beyond are kept all the same
	// and found by their id when it comes.
	maxHeld = 10_000
)

// heldReceipts are those that this process took and found no message for.
type heldReceipts struct {
	mu    sync.Mutex
	list  map[string]*waitingReceipt
	taken map[string]time.Time // those that were just reported
}

type waitingReceipt struct {
	heldReceipt
	since, look time.Time
}

func newHeldReceipts() *heldReceipts {
	return &heldReceipts{list: map[string]*waitingReceipt{}, taken: map[string]time.Time{}}
}

func (r *heldReceipts) add(key string, h heldReceipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) < maxHeld {
		now := time.Now()
		r.list[key] = &waitingReceipt{h, now, now.Add(heldLook)}
	}
}

// claim is true for the first who asks within claimTime.
func (r *heldReceipts) claim(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.taken[what]; taken {
		return false
	}
	r.taken[what] = time.Now()
	return true
}

func (r *heldReceipts) disclaim(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.taken, what)
}

func (r *heldReceipts) due(now time.Time) map[string]*waitingReceipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	for what, at := range r.taken {
		if now.Sub(at) > claimTime {
			delete(r.taken, what)
		}
	}
	due := map[string]*waitingReceipt{}
	for key, w := range r.list {
		if !w.look.After(now) {
			w.look = now.Add(heldLook)
			due[key] = w
		}
	}
	return due
}

func (r *heldReceipts) drop(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.list, key)
}

// sweep looks for the messages of held receipts again.
func (r *heldReceipts) sweep(ctx context.Context, e *engine) {
	now := time.Now()
	for key, w := range r.due(now) {
		settled, err := e.retryHeld(ctx, key, w, now.Sub(w.since))
		switch {
		case err != nil:
			e.logger.Warn("looking at a held receipt failed", "smsc_message_id", w.ID, "error", err)
		case settled:
			r.drop(key)
		case now.Sub(w.since) >= heldGiveUp:
			e.metrics.receipt("unmatched")
			e.logger.Warn("a delivery receipt matches no message", "smsc_message_id", w.ID, "status", w.Raw, "from", w.From)
			r.drop(key)
		}
	}
}

// retryHeld looks for a held receipt's message by its id and, after a while,
// among the submits that were never answered.
func (e *engine) retryHeld(ctx context.Context, key string, w *waitingReceipt, waited time.Duration) (settled bool, err error) {
	still, err := e.state.Get(ctx, key)
	if err != nil {
		return false, err
	}
	if _, there := still[key]; !there {
		return true, nil // whoever learnt the id has taken it
	}
	m, err := e.find(ctx, w.heldReceipt, waited >= heldPatience)
	if m == nil && err == nil {
		m, err = e.recognize(ctx, w.heldReceipt)
	}
	if m == nil && err == nil && waited >= heldPatience {
		m, err = e.adopt(ctx, w.heldReceipt)
	}
	if m == nil || err != nil {
		return false, err
	}
	return true, e.settleHeld(ctx, key, *m, w.heldReceipt)
}

// adopt takes a receipt for that of the submit to the same person, from the same
// sender, that was never answered; unless both have references, and others.
// Where it may be about several messages it is about none.
func (e *engine) adopt(ctx context.Context, h heldReceipt) (*match, error) {
	list, err := e.unansweredBetween(ctx, h.From, h.To)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(k known) bool { return k.contradicts(h) })
	if len(list) != 1 {
		return nil, nil
	}
	return e.settleUnknown(ctx, h, list[0], "address")
}

// maxUnanswered is how many messages without an answer are looked at for one
// receipt.
const maxUnanswered = 20

// unansweredBetween are the messages between two without an answer: of each, the
// next part.
func (e *engine) unansweredBetween(ctx context.Context, to, from string) (list []known, err error) {
	prefix := e.keys.unknown(to, from)
	found, err := e.state.Range(ctx, prefix+"/", prefix+"0", maxUnanswered) // 0 comes after /
	if err != nil {
		return nil, err
	}
	for _, entry := range found {
		var k known
		if err := json.Unmarshal([]byte(entry.Value), &k); err != nil {
			return nil, fmt.Errorf("reading what is kept of a submit without an answer: %w", err)
		}
		list = append(list, k)
	}
	return list, nil
}

// adoptHeld takes a receipt for a message without an answer that is held in the
// state alone: the process that took it has died.
func (e *engine) adoptHeld(ctx context.Context, m *message.Message) (adopted bool, err error) {
	list, err := e.heldFor(ctx, m.To, m.From)
	if len(list) == 0 || err != nil {
		return false, err
	}
	found, err := e.state.Get(ctx, list...)
	if err != nil {
		return false, err
	}
	for key, text := range found {
		var h heldReceipt
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			continue // release warns of it
		}
		match, err := e.recognize(ctx, h)
		if match == nil && err == nil && time.Since(h.Held) >= heldPatience { // before, its id may be on its way, and be another message's
			match, err = e.adopt(ctx, h)
		}
		if err != nil {
			return adopted, err
		}
		if match == nil {
			continue
		}
		if err := e.settleHeld(ctx, key, *match, h); err != nil {
			return adopted, err
		}
		adopted = true
	}
	return adopted, nil
}

// maxHeldFor is how many receipts held for one person are found again.
const maxHeldFor = 20

// heldFor are the keys of the receipts held for messages between two, also of
// some that are held no more.
func (e *engine) heldFor(ctx context.Context, to, from string) (list []string, err error) {
	pointer := e.keys.heldFor(to, from)
	found, err := e.state.Get(ctx, pointer)
	if err != nil || found[pointer] == "" {
		return nil, err
	}
	return strings.Split(found[pointer], "\n"), nil
}

func withKey(list []string, key string) string {
	if !slices.Contains(list, key) {
		list = append(list, key)
	}
	return strings.Join(list[max(0, len(list)-maxHeldFor):], "\n")
}
