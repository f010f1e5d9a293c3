package middleware

import (
	"context"
	"fmt"
	"strings"

	"switchboard/internal/msisdn"
	"switchboard/store"
	"switchboard/worker"
)

// OptOutList is a list of the opt_out middleware, as operators look after it.
type OptOutList struct {
	state   store.State
	numbers *msisdn.Numbers
	our     string // of a list per address: the one that was written to
}

// OptOutEntry is a person on the list.
type OptOutEntry struct {
	Address string `json:"address"`
	Our     string `json:"our,omitempty"` // of a list per address: the one that was written to
	// Why is the ID of the message that said STOP, or who put the person there:
	// provider, operator.
	Why string `json:"why"`
}

// byOperator is why a person is on a list that an operator has put there.
const byOperator = "operator"

// NewOptOutList is a list by its name, in the state that a fleet shares. country is
// whose national numbers addresses are; it may be empty.
func NewOptOutList(state store.State, name, country string) (*OptOutList, error) {
	if name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("%q is no list's name", name)
	}
	country, err := msisdn.Country(country)
	if err != nil {
		return nil, err
	}
	return &OptOutList{worker.SharedState(state, worker.OptOutScope(name)), msisdn.NewNumbers(country), ""}, nil
}

// For is the part of a list per address that is about one of our own addresses; the whole
// list for "".
func (l *OptOutList) For(our string) *OptOutList { return &OptOutList{l.state, l.numbers, our} }

// key is what a person is remembered by.
func (l *OptOutList) key(address string) string {
	if l.our != "" {
		return l.numbers.Normal(l.our) + "/" + l.numbers.Normal(address)
	}
	return l.numbers.Normal(address)
}

// optOutPage is how many entries are read at once.
const optOutPage = 500

// Each calls do with everybody on the list, in the order of the addresses.
func (l *OptOutList) Each(ctx context.Context, do func(OptOutEntry) error) error {
	for from := ""; ; {
		found, err := l.state.Range(ctx, from, "\xff", optOutPage)
		if err != nil {
			return fmt.Errorf("reading the list: %w", err)
		}
		for _, e := range found {
			entry := OptOutEntry{Address: e.Key, Why: e.Value}
			if our, person, per := strings.Cut(e.Key, "/"); per {
				entry.Our, entry.Address = our, person
			}
			if err := do(entry); err != nil {
				return err
			}
		}
		if len(found) < optOutPage {
			return nil
		}
		from = found[len(found)-1].Key + "\x00"
	}
}

// Add puts people on the list; who is there stays as they are.
func (l *OptOutList) Add(ctx context.Context, addresses ...string) error {
	for _, address := range addresses {
		if _, _, err := l.state.Add(ctx, store.Entry{Key: l.key(address), Value: byOperator}); err != nil {
			return fmt.Errorf("adding to the list: %w", err)
		}
	}
	return nil
}

// Empty says that nobody is on the list.
func (l *OptOutList) Empty(ctx context.Context) (bool, error) {
	found, err := l.state.Range(ctx, "", "\xff", 1)
	if err != nil {
		return false, fmt.Errorf("reading the list: %w", err)
	}
	return len(found) == 0, nil
}

// Remove takes people off the list; who is not on it is store.ErrNotFound, and then
// nobody is taken off.
func (l *OptOutList) Remove(ctx context.Context, addresses ...string) error {
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
func (l *OptOutList) Spellings(address string) []string { return l.numbers.Spellings(address) }
