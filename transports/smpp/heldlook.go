package smpp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"switchboard/message"
)

const (
	// heldBatch is how many held receipts are looked at in one round trip.
	heldBatch = 250
	// heldAtOnce is how many of those whose message has come are reported at once.
	heldAtOnce = 20
)

// sweep looks for the messages of held receipts again.
func (r *heldReceipts) sweep(ctx context.Context, e *engine) {
	r.lookAt(ctx, e, r.due(time.Now()))
}

func (r *heldReceipts) lookAt(ctx context.Context, e *engine, due map[string]*waitingReceipt) {
	keys := slices.Sorted(maps.Keys(due)) // those of one person in the same order each time
	for batch := range slices.Chunk(keys, heldBatch) {
		var all []string
		for _, key := range batch {
			all = append(all, e.heldKeys(key, due[key].heldReceipt)...)
		}
		found, err := e.state.Get(ctx, all...)
		if err != nil {
			e.logger.Warn("looking at held receipts failed", "receipts", len(batch), "error", err)
			return
		}
		var group errgroup.Group
		group.SetLimit(heldAtOnce)
		for _, key := range batch {
			group.Go(func() error {
				return e.guard("looking at a held receipt", func() error {
					r.lookAgain(ctx, e, key, due[key], found)
					return nil
				})
			})
		}
		_ = group.Wait() // guard has told of it
	}
}

// lookAgain drops a receipt that has found its message, or none for long.
func (r *heldReceipts) lookAgain(ctx context.Context, e *engine, key string, w *waitingReceipt, found map[string]string) {
	waited := time.Since(w.since)
	settled, err := e.settleFound(ctx, key, waited, found)
	switch {
	case err != nil:
		e.logger.Warn("looking at a held receipt failed", "smsc_message_id", w.ID, "error", err)
	case settled:
		r.drop(key)
	case waited >= heldGiveUp:
		e.metrics.receipt("unmatched")
		e.logger.Warn("a delivery receipt matches no message", "smsc_message_id", w.ID, "status", w.Raw, "from", w.From)
		r.drop(key)
	}
}

// heldKeys are where a held receipt is, and where its message may be.
func (e *engine) heldKeys(key string, h heldReceipt) []string {
	_, keys := e.places(h)
	keys = append(keys, key, e.keys.unknown(h.From, h.To))
	if h.Ref != 0 {
		keys = append(keys, e.keys.reference(h.From, h.Ref))
	}
	return keys
}

// retryHeld looks for the message of one held receipt.
func (e *engine) retryHeld(ctx context.Context, key string, w *waitingReceipt, waited time.Duration) (settled bool, err error) {
	found, err := e.state.Get(ctx, e.heldKeys(key, w.heldReceipt)...)
	if err != nil {
		return false, err
	}
	return e.settleFound(ctx, key, waited, found)
}

// settleFound gives a held receipt to its message, which is found by its id, by
// its reference or, after a while, among the submits that were never answered;
// found is what the store has under heldKeys.
func (e *engine) settleFound(ctx context.Context, key string, waited time.Duration, found map[string]string) (settled bool, err error) {
	if found[key] == "" {
		return true, nil // whoever learnt the id has taken it
	}
	var h heldReceipt // as it is kept: another process may have had a later one
	if err := json.Unmarshal([]byte(found[key]), &h); err != nil {
		return false, fmt.Errorf("reading a held receipt: %w", err)
	}
	patient := waited >= heldPatience
	m := e.findAmong(found, h, patient)
	if m == nil {
		m, err = e.recognizeAmong(ctx, found, h)
	}
	if m == nil && err == nil && patient && found[e.keys.unknown(h.From, h.To)] != "" {
		m, err = e.adopt(ctx, h)
	}
	if m == nil || err != nil {
		return false, err
	}
	return true, e.settleHeld(ctx, key, *m, h)
}

// adopt takes a receipt for that of the submit to the same person, from the same
// sender, that was never answered; unless both have references, and others.
// Where it may be about several messages it is about none.
func (e *engine) adopt(ctx context.Context, h heldReceipt) (*match, error) {
	e.held.adopting.Lock()
	defer e.held.adopting.Unlock()
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
