package httptester

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/message"
)

const (
	// maxEntries is how many messages are kept of all phones together.
	maxEntries = 2000
	// maxPhoneEntries is how many messages are kept of one phone.
	maxPhoneEntries = 200
)

// entry is a message as the page shows it.
type entry struct {
	Seq     int64                `json:"seq"` // counts from 1
	Time    time.Time            `json:"time"`
	Flow    message.Flow         `json:"flow"` // inbound, outbound, or clearing
	Phone   string               `json:"phone"`
	Other   string               `json:"other"` // the address at the other end
	Content string               `json:"content"`
	Session message.SessionEvent `json:"session"`
}

// clearing marks an entry that takes away what was before it: of its phone, or
// of all when it has none.
const clearing message.Flow = "clear"

// history is what phones sent and got, lately.
type history struct {
	run     string // tells one run's numbers from another's
	mu      sync.Mutex
	entries []entry // by Seq
	last    int64
	changed chan struct{} // closed at the next change
}

func newHistory() *history { return &history{run: message.NewID()[:8], changed: make(chan struct{})} }

// add appends an entry and drops the oldest ones there is no room for.
func (h *history) add(e entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e.Seq, e.Time = h.last, time.Now().UTC()
	if e.Flow == clearing {
		h.entries = slices.DeleteFunc(h.entries, func(old entry) bool { return e.Phone == "" || old.Phone == e.Phone })
	}
	h.makeRoom(e.Phone)
	h.entries = append(h.entries, e)
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *history) makeRoom(phone string) {
	oldest, count := -1, 0
	for i := range h.entries {
		if h.entries[i].Phone == phone {
			if count++; oldest < 0 {
				oldest = i
			}
		}
	}
	switch {
	case count >= maxPhoneEntries:
		h.entries = slices.Delete(h.entries, oldest, oldest+1)
	case len(h.entries) >= maxEntries:
		h.entries = slices.Delete(h.entries, 0, 1)
	}
}

// since are the entries after a number, and a channel closed when there are
// more.
func (h *history) since(seq int64) (entries []entry, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, _ := slices.BinarySearchFunc(h.entries, seq+1, func(e entry, seq int64) int { return int(e.Seq - seq) })
	return slices.Clone(h.entries[first:]), h.changed
}

// eventID names an entry across restarts; place reads it again. A place of
// another run is unknown: the reader starts anew.
func (h *history) eventID(seq int64) string { return h.run + "-" + strconv.FormatInt(seq, 10) }

func (h *history) place(eventID string) (seq int64, known bool) {
	run, number, _ := strings.Cut(eventID, "-")
	seq, err := strconv.ParseInt(number, 10, 64)
	return seq, err == nil && run == h.run && seq >= 0
}

// turns makes what concerns one phone happen one after the other. Phones share
// a fixed number of turns, so nothing grows.
type turns struct {
	seed    maphash.Seed
	stripes [64]chan struct{}
}

func newTurns() turns {
	t := turns{seed: maphash.MakeSeed()}
	for i := range t.stripes {
		t.stripes[i] = make(chan struct{}, 1)
	}
	return t
}

// take waits for the phone's turn, or until ctx ends.
func (t *turns) take(ctx context.Context, phone string) (done func(), err error) {
	stripe := t.stripes[maphash.String(t.seed, phone)%uint64(len(t.stripes))]
	if err := ctx.Err(); err != nil { // or chance would choose below
		return nil, err
	}
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
