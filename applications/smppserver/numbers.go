package smppserver

import (
	"context"
	"fmt"
	"strconv"

	"switchboard/message"
	"switchboard/store"
)

// number takes numbers for k letters, unless there is no room for them. The
// first is for wrote, when the letters are added or are not.
func (b *mailbox) number(ctx context.Context, k int) (first uint64, err error) {
	for {
		first, taken, err := b.tryNumber(uint64(k))
		if taken || err != nil {
			return first, err
		}
		if err := b.reserve(ctx, uint64(k)); err != nil {
			return 0, err
		}
	}
}

// tryNumber is number; taken is false when the store has to be asked first.
func (b *mailbox) tryNumber(k uint64) (first uint64, taken bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.loaded || b.next+k > b.reserved:
		return 0, false, nil
	case len(b.mails) > 0 && len(b.mails)+int(k) > b.max:
		return 0, false, message.RetryAfter(fullDelay, fmt.Errorf(
			"the customer has not taken what waits for it: %d messages and receipts (keep_max)", len(b.mails)))
	}
	first = b.next
	b.next += k
	b.writing[first] = struct{}{}
	return first, true, nil
}

func (b *mailbox) wrote(first uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.writing, first)
}

// reserve has numbers for k letters in store.
func (b *mailbox) reserve(ctx context.Context, k uint64) error {
	if err := b.load(ctx); err != nil {
		return err
	}
	if err := b.ask(ctx); err != nil {
		return err
	}
	defer b.asked()
	b.mu.Lock()
	enough, reserved := b.next+k <= b.reserved, b.next+k+reserveNumbers
	b.mu.Unlock()
	if enough { // another has been faster
		return nil
	}
	if err := b.state.Set(ctx, store.Entry{Key: b.tailKey(), Value: strconv.FormatUint(reserved, 10)}); err != nil {
		return fmt.Errorf("keeping what a customer is to get: %w", err)
	}
	b.mu.Lock()
	b.reserved = reserved
	b.mu.Unlock()
	return nil
}

func (b *mailbox) ask(ctx context.Context) error {
	select {
	case b.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the state store: %w", ctx.Err())
	}
}

func (b *mailbox) asked() { <-b.asking }

// load finds what was kept before this process, once.
func (b *mailbox) load(ctx context.Context) error {
	if err := b.ask(ctx); err != nil {
		return err
	}
	defer b.asked()
	b.mu.Lock()
	loaded := b.loaded
	b.mu.Unlock()
	if loaded {
		return nil
	}
	found, err := b.state.Get(ctx, b.headKey(), b.tailKey())
	if err != nil {
		return fmt.Errorf("fetching what waits for a customer: %w", err)
	}
	head, _ := strconv.ParseUint(found[b.headKey()], 10, 64)
	tail, _ := strconv.ParseUint(found[b.tailKey()], 10, 64)
	mails, err := b.fetchAll(ctx, head, tail)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails, b.next, b.reserved, b.saved, b.loaded = mails, tail, tail, head, true
	b.kept(len(b.mails))
	return nil
}

func (b *mailbox) fetchAll(ctx context.Context, from, to uint64) (mails []*mail, err error) {
	for ; from < to; from += fetchAtOnce {
		some, err := b.fetch(ctx, from, min(from+fetchAtOnce, to))
		if err != nil {
			return nil, err
		}
		mails = append(mails, some...)
	}
	return mails, nil
}
