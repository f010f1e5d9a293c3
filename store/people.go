package store

import "context"

// Address is a person's address on one backend.
type Address struct {
	Backend  string // transport_name
	Identity string // MSISDN, JID …
}

// Contact is a person.
type Contact struct {
	ID          int64 // 0 is a new one
	Name        string
	Language    string    // BCP 47, such as sw or pt-BR; may be empty
	OptedOut    bool      // gets no broadcasts
	Connections []Address // a connection has at most one contact
}

// People stores contacts.
type People interface {
	// SaveContact stores a contact with exactly these connections, which other contacts
	// lose. It returns the contact's ID.
	SaveContact(ctx context.Context, c Contact) (int64, error)
	// ContactOf finds the contact with an address; ErrNotFound when there is none.
	ContactOf(ctx context.Context, a Address) (*Contact, error)
	// SetCountry says whose national numbers a backend's addresses are: two letters of ISO
	// 3166, or none. All spellings of a number are then one address: in the duplicates of a
	// broadcast's list, in opt-outs and in look-ups.
	SetCountry(ctx context.Context, backend, country string) error
	// OptOut sets whether the person at an address refuses broadcasts. It makes a contact
	// without a name where there is none.
	OptOut(ctx context.Context, a Address, out bool) error
}
