package submissions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"switchboard/store"
)

const (
	// SweepEvery is how often held receipts are looked at.
	SweepEvery = 5 * time.Second
	// patience is how long a held receipt waits for its id alone. Then it may be
	// that of a submit to the same person that was never answered.
	patience = 10 * time.Second
	// giveUp is when a held receipt counts as unmatched. It stays in the state.
	giveUp = time.Minute
	// maxHeld is how many held receipts a process looks at; older ones are found by
	// their id when it comes.
	maxHeld = 10_000
	// heldBatch is how many held receipts are looked at in one round trip, and
	// heldAtOnce how many that have found their message are reported at once.
	heldBatch  = 250
	heldAtOnce = 20
	// maxHeldFor is how many receipts held for one person are looked at for a
	// message.
	maxHeldFor = 20
)

// hold keeps a receipt under its id until that is told: its submit_sm_resp may be on its
// way, here or in another process.
func (s *Store) hold(ctx context.Context, r Receipt) error {
	r.Held = time.Now()
	key := s.Prefix + "held/" + s.ids.receipt.Normal(r.ID)
	found, err := s.State.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("holding a receipt: %w", err)
	}
	if before, _ := read[Receipt](s, found, key); before.Status.Final() && !r.Status.Final() && before.From == r.From {
		s.CountReceipt("repeated")
		return nil
	}
	err = s.State.Set(ctx, entry(key, r, s.HeldTTL), store.Entry{Key: s.heldForKey(r.From, r.To) + "/" + key, Value: key, TTL: s.HeldTTL})
	if err != nil {
		return fmt.Errorf("holding a receipt: %w", err)
	}
	s.CountReceipt("held")
	matched, err := s.retryHeld(ctx, key, r)
	if !matched && err == nil {
		s.held.Add(key, r)
	}
	return err
}

func (s *Store) heldForKey(to, from string) string { return s.Prefix + "held-for/" + between(to, from) }

// takeHeld reports the receipts that came before their id.
func (s *Store) takeHeld(ctx context.Context, id string) error {
	spellings := s.ids.inReceipts(id)
	for i, spelling := range spellings {
		spellings[i] = s.Prefix + "held/" + spelling
	}
	found, err := s.State.Get(ctx, spellings...)
	for key := range found {
		if r, ok := read[Receipt](s, found, key); ok {
			_, failed := s.retryHeld(ctx, key, r)
			err = errors.Join(err, failed)
		}
	}
	return err
}

// retryHeld looks for the message of one held receipt, and reports it.
func (s *Store) retryHeld(ctx context.Context, key string, r Receipt) (matched bool, err error) {
	m, err := s.find(ctx, r, time.Since(r.Held))
	if m == nil || err != nil {
		return false, err
	}
	return true, s.settleHeld(ctx, key, *m, r)
}

// settleHeld reports a held receipt, unless whoever else saw that its message has
// come does, and forgets it.
func (s *Store) settleHeld(ctx context.Context, key string, m match, r Receipt) error {
	what := key + "/" + strconv.FormatInt(r.Held.UnixNano(), 10)
	if _, err := s.once(what, func() error { return s.report(ctx, m, r) }); err != nil {
		s.held.Add(key, r)
		return err
	}
	return s.State.Delete(ctx, key, s.heldForKey(r.From, r.To)+"/"+key)
}

// Sweep looks again for the messages of the held receipts.
func (s *Store) Sweep(ctx context.Context, now time.Time) {
	for batch := range slices.Chunk(s.held.Keys(), heldBatch) {
		var all []string
		for _, key := range batch {
			r, _ := s.held.Peek(key)
			all = append(append(all, key), s.rowKeys(r)...)
		}
		found, err := s.State.Get(ctx, all...)
		if err != nil {
			s.Logger.Warn("looking for the messages of held receipts failed", "receipts", len(batch), "error", err)
			return
		}
		var group errgroup.Group
		group.SetLimit(heldAtOnce)
		for _, key := range batch {
			group.Go(func() error {
				return s.Guard("looking for the message of a held receipt", func() error {
					s.lookAgain(ctx, key, found, now)
					return nil
				})
			})
		}
		_ = group.Wait() // Guard has told of it
	}
}

// lookAgain drops a receipt that has found its message, or none for long.
func (s *Store) lookAgain(ctx context.Context, key string, found map[string]string, now time.Time) {
	r, there := read[Receipt](s, found, key) // as it is stored: another process may have had a later one
	if !there {
		s.held.Remove(key) // whoever recorded the id has taken it
		return
	}
	waited := now.Sub(r.Held)
	m, err := s.match(ctx, found, r, waited)
	if m != nil && err == nil {
		s.held.Remove(key)
		err = s.settleHeld(ctx, key, *m, r)
	}
	switch {
	case err != nil:
		s.Logger.Warn("looking for the message of a held receipt failed", "smsc_message_id", r.ID, "error", err)
	case m == nil && waited >= giveUp:
		s.CountReceipt("unmatched")
		s.Logger.Warn("a delivery receipt matches no message", "smsc_message_id", r.ID, "status", r.Raw, "from", r.From)
		s.held.Remove(key)
	}
}

// matchHeldFor matches receipts that are held for a message without an answer:
// the process that took them may have died.
func (s *Store) matchHeldFor(ctx context.Context, m *Message) (matched bool, err error) {
	prefix := s.heldForKey(m.To, m.From)
	entries, err := s.State.Range(ctx, prefix+"/", prefix+"0", maxHeldFor)
	if len(entries) == 0 || err != nil {
		return false, err
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Value
	}
	found, err := s.State.Get(ctx, keys...)
	if err != nil {
		return false, err
	}
	for _, key := range keys {
		r, ok := read[Receipt](s, found, key)
		if !ok {
			continue
		}
		one, err := s.retryHeld(ctx, key, r)
		if err != nil {
			return matched, err
		}
		matched = matched || one
	}
	return matched, nil
}
