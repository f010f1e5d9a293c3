package worker

import (
	"context"
	"fmt"
	"time"

	"switchboard/store"
)

// Handled remembers in the state store what was handled, so that a second copy of
// it is recognised. Many lanes remember at once: their writes go together.
type Handled struct {
	runtime *Runtime
	state   *store.Batcher
	prefix  string
	ttl     time.Duration
}

// NewHandled remembers under keys that begin with prefix, for ttl; 0 remembers
// nothing. Close it when nothing is handled any more.
func (r *Runtime) NewHandled(prefix string, ttl time.Duration) *Handled {
	if r.State == nil {
		ttl = 0
	}
	return &Handled{r, store.NewBatcher(r.State, store.BatchSettings{}), prefix, ttl}
}

// Close ends the writing of batches.
func (h *Handled) Close() { _ = h.state.Close() } // nothing waits in it any more

// Recall says whether a delivery was handled, and what was remembered of it. It
// asks only where the delivery may be a second copy.
func (h *Handled) Recall(ctx context.Context, d *Delivery, key string) (value string, handled bool, err error) {
	if h.ttl == 0 || !d.Redelivered() {
		return "", false, nil
	}
	found, err := h.state.Get(ctx, h.prefix+key)
	if err != nil {
		return "", false, fmt.Errorf("asking whether %s was handled: %w", d, err)
	}
	value, handled = found[h.prefix+key]
	return value, handled, nil
}

// Remember remembers that something was handled. A store that is away is no
// reason to fail: without it the work may be done twice, if the delivery comes
// again.
func (h *Handled) Remember(ctx context.Context, d *Delivery, key, value string) {
	if h.ttl == 0 {
		return
	}
	if err := h.state.Set(ctx, store.Entry{Key: h.prefix + key, Value: value, TTL: h.ttl}); err != nil {
		h.runtime.Monitor.WarnOfState(h.runtime.Logger, "remembering what was handled failed; it may be done twice if it is delivered again",
			"message_id", d.ID(), "error", err)
	}
}
