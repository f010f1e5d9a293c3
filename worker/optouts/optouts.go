// Package optouts is the lists of people who asked not to be written to, as the opt_out
// middleware keeps them and operators and programs look after them.
package optouts

import (
	"context"
	"fmt"
	"strings"

	"switchboard/internal/msisdn"
	"switchboard/store"
	"switchboard/worker"
)

// List is a list of the opt_out middleware.
type List struct {
	state   store.State
	numbers *msisdn.Numbers
	our     string // of a list per address: the one that was written to
}

// Entry is a person on the list.
type Entry struct {
	Address string `json:"address"`
	Our     string `json:"our,omitempty"` // of a list per address: the one that was written to
	// Why is the ID of the message that said STOP, or who put the person there:
	// provider, operator, program.
	Why string `json:"why"`
}

// Why a person is on a list whom no message has put there.
const (
	Operator = "operator" // an operator has
	Program  = "program"  // a request to the HTTP API has
)

// Open is a list by its name, in the state that a fleet shares. country is whose national
// numbers addresses are; it may be empty.
func Open(state store.State, name, country string) (*List, error) {
	return In(worker.Env{State: state}, name, country)
}

// In is Open in a worker's environment.
func In(env worker.Env, name, country string) (*List, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	country, err := msisdn.Country(country)
	if err != nil {
		return nil, err
	}
	return &List{env.Shared(worker.OptOutScope(name)), msisdn.NewNumbers(country), ""}, nil
}

// CheckName says what is wrong with a list's name.
func CheckName(name string) error {
	if name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("%q is no list's name: write one without a slash", name)
	}
	return nil
}

// For is the part of a list per address that is about one of our own addresses; the whole
// list for "".
func (l *List) For(our string) *List { return &List{l.state, l.numbers, our} }

// key is what a person is remembered by.
func (l *List) key(address string) string {
	if l.our != "" {
		return l.numbers.Normal(l.our) + "/" + l.numbers.Normal(address)
	}
	return l.numbers.Normal(address)
}

// page is how many entries are read at once.
const page = 500

// Each calls do with everybody on the list, in the order of the addresses.
func (l *List) Each(ctx context.Context, do func(Entry) error) error {
	for cursor := ""; ; {
		entries, next, err := l.Page(ctx, cursor, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := do(e); err != nil {
				return err
			}
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

// Page returns at most limit people of the list from a cursor, empty for the beginning, and
// the cursor of the next page, empty at the end.
func (l *List) Page(ctx context.Context, cursor string, limit int) (entries []Entry, next string, err error) {
	found, err := l.state.Range(ctx, cursor, "\xff", limit)
	if err != nil {
		return nil, "", fmt.Errorf("reading the list: %w", err)
	}
	for _, e := range found {
		entry := Entry{Address: e.Key, Why: e.Value}
		if our, person, per := strings.Cut(e.Key, "/"); per {
			entry.Our, entry.Address = our, person
		}
		entries = append(entries, entry)
	}
	if len(found) == limit {
		next = found[len(found)-1].Key + "\x00"
	}
	return entries, next, nil
}

// Add puts people on the list; who is there stays as they are. why is who puts them there.
func (l *List) Add(ctx context.Context, why string, addresses ...string) error {
	for _, address := range addresses {
		if _, _, err := l.state.Add(ctx, store.Entry{Key: l.key(address), Value: why}); err != nil {
			return fmt.Errorf("adding to the list: %w", err)
		}
	}
	return nil
}

// Empty says that nobody is on the list.
func (l *List) Empty(ctx context.Context) (bool, error) {
	found, err := l.state.Range(ctx, "", "\xff", 1)
	if err != nil {
		return false, fmt.Errorf("reading the list: %w", err)
	}
	return len(found) == 0, nil
}

// Has says whether somebody is on the list.
func (l *List) Has(ctx context.Context, address string) (bool, error) {
	found, err := l.state.Get(ctx, l.key(address))
	if err != nil {
		return false, fmt.Errorf("reading the list: %w", err)
	}
	return len(found) > 0, nil
}

// Remove takes people off the list; who is not on it is store.ErrNotFound, and then
// nobody is taken off.
func (l *List) Remove(ctx context.Context, addresses ...string) error {
	keys := make([]string, len(addresses))
	for i, address := range addresses {
		keys[i] = l.key(address)
	}
	found, err := l.state.Get(ctx, keys...)
	if err != nil {
		return fmt.Errorf("reading the list: %w", err)
	}
	for i, key := range keys {
		if _, is := found[key]; !is {
			return fmt.Errorf("%s is not on the list: %w", addresses[i], store.ErrNotFound)
		}
	}
	if err := l.state.Delete(ctx, keys...); err != nil {
		return fmt.Errorf("removing from the list: %w", err)
	}
	return nil
}

// Spellings are all ways to write an address, as the record may have it.
func (l *List) Spellings(address string) []string { return l.numbers.Spellings(address) }
