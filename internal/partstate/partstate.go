// Package partstate keeps the parts of long SMPP messages in a state store.
package partstate

import (
	"context"

	"switchboard/smpp"
	"switchboard/store"
)

// New makes state what an Assembler wants.
func New(state store.State) smpp.State { return adapter{state} }

type adapter struct{ store.State }

func (a adapter) Set(ctx context.Context, entries ...smpp.Entry) error {
	return a.State.Set(ctx, Entries(entries)...)
}

func (a adapter) Add(ctx context.Context, e smpp.Entry) (string, bool, error) {
	return a.State.Add(ctx, store.Entry(e))
}

func (a adapter) Range(ctx context.Context, from, to string, limit int) ([]smpp.Entry, error) {
	found, err := a.State.Range(ctx, from, to, limit)
	list := make([]smpp.Entry, len(found))
	for i, e := range found {
		list[i] = smpp.Entry(e)
	}
	return list, err
}

// Entries are what an Assembler stores, as the state store takes them.
func Entries(list []smpp.Entry) []store.Entry {
	entries := make([]store.Entry, len(list))
	for i, e := range list {
		entries[i] = store.Entry(e)
	}
	return entries
}
