package httpapi

import (
	"errors"
	"fmt"
	"strconv"

	"switchboard/store"
	"switchboard/worker/optouts"
)

// byProgram is why a person is on the list whom a request has put there.
const byProgram = "program"

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
// application's channels.
func (r *run) setOptOut(q *request, out bool) (any, error) {
	address := q.PathValue("address")
	list, err := r.optOuts(q)
	if err == nil && len(address) > maxAddress {
		err = problems.invalid.with(fmt.Sprintf("an address may have %d bytes", maxAddress))
	}
	if err != nil {
		return nil, err
	}
	if out {
		err = list.Add(q.Context(), byProgram, address)
	} else if err = list.Remove(q.Context(), address); errors.Is(err, store.ErrNotFound) {
		err = problems.notFound.with("nobody of this address is on the list")
	}
	if err != nil || r.env.People == nil {
		return map[string]bool{"opted_out": out}, err
	}
	for _, transport := range r.ChannelNames {
		for _, identity := range list.Spellings(address) {
			if err := r.env.People.OptOut(q.Context(), store.Address{Backend: transport, Identity: identity}, out); err != nil {
				return nil, fmt.Errorf("recording who wants broadcasts: %w", err)
			}
		}
	}
	return map[string]bool{"opted_out": out}, nil
}
