package smpp

import (
	"context"
	"fmt"
	"strconv"

	"switchboard/smpp/receipt"
	"switchboard/store"
)

// severalIDs: other receipts, of other ids, speak of the same message.
func (k known) severalIDs() bool { return k.Total > 1 || k.Again }

// verdict is what a receipt means for its message: one of several parts is
// delivered when all are, and failed when one is. It is not worth reporting
// while parts are missing, or after the last word on the message.
func (e *engine) verdict(ctx context.Context, m match, h heldReceipt) (status receipt.Status, worth bool, err error) {
	switch {
	case !m.severalIDs():
		return h.Status, true, nil
	case !h.Status.Final():
		key := e.keys.lastWord(m.known)
		found, err := e.state.Get(ctx, key)
		if err != nil {
			return "", false, fmt.Errorf("looking for the last word on a message: %w", err)
		}
		return h.Status, found[key] == "", nil
	}
	end, err := e.isEnd(ctx, m, h)
	if err != nil || !end {
		return h.Status, false, err
	}
	worth, err = e.sayLastWord(ctx, m)
	return h.Status, worth, err
}

// isEnd says whether a part's last receipt ends its message too.
func (e *engine) isEnd(ctx context.Context, m match, h heldReceipt) (bool, error) {
	if m.Total <= 1 {
		return true, nil
	}
	own := store.Entry{Key: e.keys.report(m.known, m.N), Value: string(h.Status), TTL: e.options.ThirdPartyIDExpiry.Std()}
	if err := e.state.Set(ctx, own); err != nil {
		return false, fmt.Errorf("remembering a part's receipt: %w", err)
	}
	if h.Status == receipt.Failed {
		return true, nil
	}
	keys := make([]string, m.Total)
	for i := range keys {
		keys[i] = e.keys.report(m.known, i+1)
	}
	found, err := e.state.Get(ctx, keys...)
	if err != nil {
		return false, fmt.Errorf("looking for other parts' receipts: %w", err)
	}
	for _, value := range found {
		if value != string(h.Status) {
			return false, nil
		}
	}
	return len(found) == m.Total, nil
}

// sayLastWord is true for the one receipt, of all that may speak of a message,
// whose word is the last; also when it comes again because the broker was away.
func (e *engine) sayLastWord(ctx context.Context, m match) (mine bool, err error) {
	own := m.key + " " + strconv.Itoa(m.N)
	first, _, err := e.state.Add(ctx, store.Entry{
		Key: e.keys.lastWord(m.known), Value: own, TTL: e.options.ThirdPartyIDExpiry.Std(),
	})
	if err != nil {
		return false, fmt.Errorf("noting the last word on a message: %w", err)
	}
	return first == own, nil
}
