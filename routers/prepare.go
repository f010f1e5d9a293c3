package routers

import (
	"context"

	"golang.org/x/sync/errgroup"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/store"
)

// assigners is how many users are assigned at once.
const assigners = 8

// Prepare finds or makes the groups of many users in few round trips; Route
// finds them in the process then.
func (r *UserGrouping) Prepare(ctx context.Context, arrivals []dispatcher.Arrival) {
	var keys []string
	users := map[string]string{} // by key
	for _, a := range arrivals {
		if a.Flow != message.Inbound || a.Message.From == "" || r.known.get(a.Message.From) != "" {
			continue
		}
		key := userKey(a.Message.From)
		if _, twice := users[key]; !twice {
			keys, users[key] = append(keys, key), a.Message.From
		}
	}
	if len(keys) == 0 {
		return
	}
	found, err := r.state.Get(ctx, keys...)
	if err != nil {
		return // Route asks again, and says what is wrong
	}
	var fresh []string
	for _, key := range keys {
		if group, there := found[key]; !there {
			fresh = append(fresh, key)
		} else if r.apps[group] != "" {
			r.known.put(users[key], group)
		}
	}
	r.assign(ctx, fresh, users)
}

// assign gives new users their groups in turn, in the order they came.
func (r *UserGrouping) assign(ctx context.Context, keys []string, users map[string]string) {
	if len(keys) == 0 {
		return
	}
	last, err := r.state.Increment(ctx, turnKey, int64(len(keys)), 0)
	if err != nil {
		return
	}
	first := last - int64(len(keys))
	var group errgroup.Group
	group.SetLimit(assigners)
	for i, key := range keys {
		group.Go(func() error {
			mine := r.groups[(first+int64(i))%int64(len(r.groups))]
			// Another replica may have been faster: its word counts.
			given, _, err := r.state.Add(ctx, store.Entry{Key: key, Value: mine})
			if err == nil && r.apps[given] != "" {
				r.known.put(users[key], given)
			}
			return nil // Route asks again, and says what is wrong
		})
	}
	_ = group.Wait()
}
