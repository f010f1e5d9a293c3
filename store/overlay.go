package store

import (
	"slices"
	"sync"
	"time"
)

// overlay holds what was handed to a Batcher and is not written yet: of each
// key the requests that set or delete it, oldest first.
type overlay struct {
	mu   sync.Mutex
	keys map[string][]waiting
}

type waiting struct {
	request *writeRequest
	value   string
	gone    bool      // it is deleted
	ends    time.Time // zero is never
}

func (o *overlay) add(r *writeRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[string][]waiting{}
	}
	for _, e := range r.entries {
		w := waiting{request: r, value: e.Value}
		if e.TTL != 0 {
			w.ends = time.Now().Add(e.TTL)
		}
		o.keys[e.Key] = append(o.keys[e.Key], w)
	}
	for _, key := range r.deleted {
		o.keys[key] = append(o.keys[key], waiting{request: r, gone: true})
	}
}

func (o *overlay) remove(r *writeRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range r.entries {
		o.forget(e.Key, r)
	}
	for _, key := range r.deleted {
		o.forget(key, r)
	}
}

func (o *overlay) forget(key string, r *writeRequest) {
	left := slices.DeleteFunc(o.keys[key], func(w waiting) bool { return w.request == r })
	if len(left) == 0 {
		delete(o.keys, key)
	} else {
		o.keys[key] = left
	}
}

// get finds the newest values, and the keys it knows nothing of.
func (o *overlay) get(keys []string) (values map[string]string, missing []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	values = make(map[string]string, len(keys))
	for _, key := range keys {
		list := o.keys[key]
		if len(list) == 0 {
			missing = append(missing, key)
			continue
		}
		newest := list[len(list)-1]
		if !newest.gone && (newest.ends.IsZero() || time.Now().Before(newest.ends)) {
			values[key] = newest.value
		}
	}
	return values, missing
}

func (o *overlay) any(keys []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(keys, func(key string) bool { return len(o.keys[key]) > 0 })
}
