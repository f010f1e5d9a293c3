package smppserver

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"sync"
	"time"

	"switchboard/store"
)

// mailbox holds what is to be delivered to one customer, in its order. The mail
// is in the state store, one numbered entry each, until it is delivered or too
// old; here are the numbers, and the content of the first few.
type mailbox struct {
	state  *store.Batcher
	prefix string // of the keys
	max    int
	ttl    time.Duration
	kept   func(n int) // is told how many there are
	// doubtFor is how long the store may take to write what it gave no answer for.
	doubtFor time.Duration
	// asking is had by who asks the store for numbers, or what there is. mu is not
	// had meanwhile: sessions' readers need it.
	asking chan struct{}

	mu       sync.Mutex
	loaded   bool
	next     uint64              // number of the next mail
	writing  map[uint64]struct{} // first numbers of what is being deposited
	reserved uint64              // numbers below this are known to the store to be in use
	saved    uint64              // the store knows that there is nothing below this
	mails    []*mail
	wake     chan struct{} // one token: look again
}

// mail is one deliver_sm. Its fields but number and until are guarded by the
// mailbox.
type mail struct {
	number    uint64
	until     time.Time
	content   *letter // nil when it has to be fetched
	doubtful  bool    // the store may not have it
	flying    bool
	notBefore time.Time
	tries     int
}

const (
	// reserveNumbers is how many numbers are reserved at once, and how far the
	// store's idea of the first mail may be behind.
	reserveNumbers = 1000
	// atHand is how many mails' contents are kept in memory too.
	atHand = 100
	// farBehind is how many others may come after a mail that is not taken.
	farBehind = 20 * reserveNumbers
	// fetchAtOnce is how many are fetched at once.
	fetchAtOnce = 500
	// doubtFor is longer than a statement takes that was begun under a lease.
	doubtFor = 2 * leaseTTL
	// fullDelay is how long the fleet waits when the mailbox is full.
	fullDelay = 5 * time.Minute
)

func newMailbox(state *store.Batcher, prefix string, o *Options, kept func(int)) *mailbox {
	return &mailbox{
		state: state, prefix: prefix, max: o.KeepMax, ttl: o.KeepFor.Std(), kept: kept, doubtFor: doubtFor,
		wake: make(chan struct{}, 1), asking: make(chan struct{}, 1), writing: map[uint64]struct{}{},
	}
}

func (b *mailbox) key(number uint64) string { return b.prefix + strconv.FormatUint(number, 10) }
func (b *mailbox) tailKey() string          { return b.prefix + "tail" }
func (b *mailbox) headKey() string          { return b.prefix + "head" }

func (b *mailbox) look() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// deposit keeps letters, and stores what else belongs to them, all or nothing.
func (b *mailbox) deposit(ctx context.Context, letters []letter, extra ...store.Entry) error {
	first, err := b.number(ctx, len(letters))
	if err != nil {
		return err
	}
	defer b.wrote(first)
	until := time.Now().Add(b.ttl)
	entries, mails := extra, make([]*mail, len(letters))
	for i := range letters {
		n := first + uint64(i)
		text, err := letters[i].encode(until)
		if err != nil {
			return err
		}
		entries = append(entries, store.Entry{Key: b.key(n), Value: text, TTL: b.ttl})
		mails[i] = &mail{number: n, until: until, content: &letters[i]}
	}
	if err := b.state.Set(ctx, entries...); err != nil {
		if !errors.Is(err, errNoLease) {
			b.doubt(mails)
		}
		return fmt.Errorf("keeping what a customer is to get: %w", err)
	}
	b.add(mails)
	return nil
}

// doubt is add for mails of which nobody knows whether the store has them: what
// brought them may come again, and be found done with. They are looked for once
// the store has had time to make up its mind.
func (b *mailbox) doubt(mails []*mail) {
	for _, m := range mails {
		m.content, m.doubtful, m.notBefore = nil, true, time.Now().Add(b.doubtFor)
	}
	b.add(mails)
}

// add makes mails ready to be delivered. Others with greater numbers may have
// been faster.
func (b *mailbox) add(mails []*mail) {
	b.mu.Lock()
	if len(b.mails) > atHand {
		for _, m := range mails {
			m.content = nil
		}
	}
	b.mails = append(b.mails, mails...)
	for i := len(b.mails) - len(mails); i > 0 && i < len(b.mails); i++ {
		for j := i; j > 0 && b.mails[j].number < b.mails[j-1].number; j-- {
			b.mails[j], b.mails[j-1] = b.mails[j-1], b.mails[j]
		}
	}
	b.kept(len(b.mails))
	b.mu.Unlock()
	b.look()
}

// take returns the first mail that may be delivered now, and marks it; or how
// long to wait for one, 0 for one that nobody knows of yet.
func (b *mailbox) take(now time.Time) (m *mail, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.mails {
		if m.flying {
			continue
		}
		if left := m.notBefore.Sub(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		m.flying = true
		return m, 0
	}
	return nil, wait
}

// putBack says that a mail was not delivered, and is to be tried again.
func (b *mailbox) putBack(m *mail, delay time.Duration) {
	b.mu.Lock()
	m.flying = false
	if delay > 0 {
		m.notBefore = time.Now().Add(delay)
	}
	b.mu.Unlock()
	b.look()
}

// drop forgets mail, here and in the store.
func (b *mailbox) drop(ctx context.Context, m *mail) error {
	b.mu.Lock()
	i := sort.Search(len(b.mails), func(i int) bool { return b.mails[i].number >= m.number })
	if i < len(b.mails) && b.mails[i] == m {
		b.mails = append(b.mails[:i], b.mails[i+1:]...)
	}
	head := b.head()
	save := head >= b.saved+reserveNumbers
	if save {
		b.saved = head
	}
	b.kept(len(b.mails))
	b.mu.Unlock()
	b.look()
	if save {
		if err := b.saveHead(ctx, head); err != nil {
			return err
		}
	}
	return b.state.Delete(ctx, b.key(m.number))
}

// lags says whether so many others have come after a mail that a process that
// starts would look for them for long.
func (b *mailbox) lags(m *mail) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next-m.number > farBehind
}

// move gives a mail that was not taken the last number, under which it is tried
// again.
func (b *mailbox) move(ctx context.Context, m *mail, l *letter) error {
	left := time.Until(m.until)
	if left <= 0 {
		return errors.New("it has been kept for longer than keep_for")
	}
	number, err := b.number(ctx, 1)
	if err != nil {
		return err
	}
	defer b.wrote(number)
	text, err := l.encode(m.until)
	if err != nil {
		return err
	}
	if err := b.state.Set(ctx, store.Entry{Key: b.key(number), Value: text, TTL: left}); err != nil {
		return fmt.Errorf("keeping what a customer is to get: %w", err)
	}
	b.add([]*mail{{number: number, until: m.until, notBefore: time.Now().Add(lastPause), tries: m.tries}})
	return b.drop(ctx, m)
}

// head is a number below which there is nothing; b.mu is held.
func (b *mailbox) head() uint64 {
	head := b.next
	if len(b.mails) > 0 {
		head = b.mails[0].number
	}
	for first := range b.writing {
		head = min(head, first)
	}
	return head
}

// saveHead only saves the next process work, so it need not be exact.
func (b *mailbox) saveHead(ctx context.Context, head uint64) error {
	return b.state.Set(ctx, store.Entry{Key: b.headKey(), Value: strconv.FormatUint(head, 10)})
}

// old takes the mails out that have waited too long.
func (b *mailbox) old(now time.Time) (gone []*mail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.mails {
		if m.until.After(now) {
			break
		}
		if !m.flying {
			m.flying = true
			gone = append(gone, m)
		}
	}
	return gone
}
