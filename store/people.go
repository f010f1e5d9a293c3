package store

import "context"

// Address is a person's place on one backend: a connection's name.
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

// People keeps who is who.
type People interface {
	// SaveContact stores a contact and gives it exactly these connections
	// (taking them from other contacts); it returns its ID.
	SaveContact(ctx context.Context, c Contact) (int64, error)
	// ContactOf finds whose connection an address is; ErrNotFound when it is
	// nobody's.
	ContactOf(ctx context.Context, a Address) (*Contact, error)
	// OptOut says whether the person behind an address wants broadcasts; one
	// who is unknown becomes a contact without a name.
	OptOut(ctx context.Context, a Address, out bool) error
}
