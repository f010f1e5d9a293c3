package httpapi

import (
	"context"
	"fmt"
	"strconv"

	"switchboard/store"
	"switchboard/worker/optouts"
)

const (
	maxListed     = 500
	defaultListed = 100
)

var errNoOptOutList = problems.notFound.with("the application has no list of opt-outs; set opt_out_list")

// optOuts is the list, or the part of it that is about the address in the query's our.
func (r *run) optOuts(q *request) (*optouts.List, error) {
	if err := q.client.spend(1); err != nil {
		return nil, err
	}
	if r.OptOutList == "" {
		return nil, errNoOptOutList
	}
	list, err := optouts.In(r.env, r.OptOutList, r.Country)
	if err != nil {
		return nil, err
	}
	return list.For(q.URL.Query().Get("our")), nil
}

// listOptOuts is a page of the list.
func (r *run) listOptOuts(q *request) (any, error) {
	list, err := r.optOuts(q)
	if err != nil {
		return nil, err
	}
	limit := defaultListed
	if text := q.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxListed {
			return nil, problems.invalid.with(fmt.Sprintf("limit is from 1 to %d", maxListed))
		}
	}
	people, next, err := list.Page(q.Context(), q.URL.Query().Get("cursor"), limit)
	if people == nil {
		people = []optouts.Entry{}
	}
	return struct {
		OptOuts []optouts.Entry `json:"optouts"`
		Cursor  string          `json:"cursor,omitempty"`
	}{people, next}, err
}

func (r *run) putOptOut(q *request) (any, error) { return r.setOptOut(q, true) }

func (r *run) deleteOptOut(q *request) (any, error) { return r.setOptOut(q, false) }

// setOptOut puts somebody on the list or takes them off, and records it for broadcasts by the
// application's channels. Where it fails, the request can be repeated: the list is changed
// first by a PUT, and last by a DELETE.
func (r *run) setOptOut(q *request, out bool) (any, error) {
	address := q.PathValue("address")
	list, err := r.optOuts(q)
	if err == nil && len(address) > maxAddress {
		err = problems.invalid.with(fmt.Sprintf("an address may have %d bytes", maxAddress))
	}
	if err != nil {
		return nil, err
	}
	var on bool
	if out {
		err = list.Add(q.Context(), optouts.Program, address)
	} else if on, err = list.Has(q.Context(), address); err == nil && !on {
		err = problems.notFound.with("nobody of this address is on the list")
	}
	if err == nil {
		err = r.recordOptOut(q.Context(), list.Spellings(address), out)
	}
	if err == nil && !out {
		err = list.Remove(q.Context(), address)
	}
	return map[string]bool{"opted_out": out}, err
}

// recordOptOut records for broadcasts by the application's channels that somebody wants none,
// or wants them again.
func (r *run) recordOptOut(ctx context.Context, spellings []string, out bool) error {
	if r.env.People == nil {
		return nil
	}
	for _, transport := range r.ChannelNames {
		for _, identity := range spellings {
			if err := r.env.People.OptOut(ctx, store.Address{Backend: transport, Identity: identity}, out); err != nil {
				return fmt.Errorf("recording who wants broadcasts: %w", err)
			}
		}
	}
	return nil
}
