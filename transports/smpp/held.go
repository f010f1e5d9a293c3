package smpp

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
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

	adopting sync.Mutex // held while a receipt is given to a submit without an answer
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

// maxHeldFor is how many receipts held for one person are found again.
const maxHeldFor = 20

// heldFor are the keys of the receipts held for messages between two, also of
// some that are held no more.
func (e *engine) heldFor(ctx context.Context, to, from string) (list []string, err error) {
	pointer := e.keys.heldFor(to, from)
	found, err := e.state.Get(ctx, pointer)
	return heldList(found[pointer]), err
}

func heldList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func withKey(list []string, key string) string {
	if !slices.Contains(list, key) {
		list = append(list, key)
	}
	return strings.Join(list[max(0, len(list)-maxHeldFor):], "\n")
}
