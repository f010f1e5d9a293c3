package store

import "context"

type getRequest struct {
	keys []string
	done chan getAnswer
}

type getAnswer struct {
	values map[string]string
	err    error
}

func readSize(r *getRequest) int { return len(r.keys) }

// Get fetches the values of those keys that are there.
func (b *Batcher) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	values, missing := b.pending.get(keys)
	if len(missing) == 0 {
		return values, ctx.Err()
	}
	answer, err := b.fetch(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, key := range missing {
		if value, ok := answer[key]; ok {
			values[key] = value
		}
	}
	return values, nil
}

func (b *Batcher) fetch(ctx context.Context, keys []string) (map[string]string, error) {
	r := &getRequest{keys, make(chan getAnswer, 1)}
	if err := b.ask(ctx, r); err != nil {
		return nil, err
	}
	select {
	case a := <-r.done:
		return a.values, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *Batcher) ask(ctx context.Context, r *getRequest) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	select {
	case b.reads <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Batcher) read(batch []*getRequest) {
	var keys []string
	for _, r := range batch {
		keys = append(keys, r.keys...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.settings.Timeout)
	defer cancel()
	values, err := b.state.Get(ctx, keys...)
	for _, r := range batch {
		r.done <- getAnswer{values, err} // shared, and only read
	}
}
