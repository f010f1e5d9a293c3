package worker

import (
	"context"
	"strings"
	"time"

	"switchboard/store"
)

// scopedState is a part of a state whose keys begin with a prefix; nil of nil.
func scopedState(state store.State, prefix string) store.State {
	if state == nil {
		return nil
	}
	return &scoped{state, prefix}
}

type scoped struct {
	state  store.State
	prefix string
}

func (s *scoped) keys(keys []string) []string {
	full := make([]string, len(keys))
	for i, key := range keys {
		full[i] = s.prefix + key
	}
	return full
}

// InMemory says whether the whole is in memory.
func (s *scoped) InMemory() bool { return store.InMemory(s.state) }

func (s *scoped) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	found, err := s.state.Get(ctx, s.keys(keys)...)
	if len(found) == 0 {
		return nil, err
	}
	own := make(map[string]string, len(found))
	for key, value := range found {
		own[strings.TrimPrefix(key, s.prefix)] = value
	}
	return own, err
}

func (s *scoped) Set(ctx context.Context, entries ...store.Entry) error {
	full := make([]store.Entry, len(entries))
	for i, e := range entries {
		e.Key = s.prefix + e.Key
		full[i] = e
	}
	return s.state.Set(ctx, full...)
}

func (s *scoped) Add(ctx context.Context, e store.Entry) (value string, added bool, err error) {
	e.Key = s.prefix + e.Key
	return s.state.Add(ctx, e)
}

func (s *scoped) Increment(ctx context.Context, key string, by int64, ttl time.Duration) (int64, error) {
	return s.state.Increment(ctx, s.prefix+key, by, ttl)
}

func (s *scoped) Delete(ctx context.Context, keys ...string) error {
	return s.state.Delete(ctx, s.keys(keys)...)
}

func (s *scoped) Range(ctx context.Context, from, to string, limit int) ([]store.Entry, error) {
	found, err := s.state.Range(ctx, s.prefix+from, s.prefix+to, limit)
	for i := range found {
		found[i].Key = strings.TrimPrefix(found[i].Key, s.prefix)
	}
	return found, err
}
