package smppserver

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"switchboard/message"
	"switchboard/store"
)

// shortIDLength is how many characters a message_id has in SMPP 3.3, where it is
// a hexadecimal number of at most 8 digits; SMPP 3.4 has room for 64 (§5.2.23).
const shortIDLength = 8

// idBlock is how many short ids a process reserves in the store at once. Those
// it has not used when it ends are skipped.
const idBlock = 1000

// shortIDs counts message_ids for clients of one customer that have no room for
// longer ones. They repeat after 2^32, long after the messages are forgotten.
type shortIDs struct {
	state *store.Batcher
	key   string

	mu        sync.Mutex
	last, end int64
}

func (s *shortIDs) next(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == s.end {
		end, err := s.state.Increment(ctx, s.key, idBlock, 0)
		if err != nil {
			return "", fmt.Errorf("numbering a message: %w", err)
		}
		s.last, s.end = end-idBlock, end
	}
	s.last++
	return fmt.Sprintf("%08X", uint32(s.last)), nil
}

// newID returns an id for the answer to a submit, as long as its client can hold.
func (c *customer) newID(ctx context.Context, in *submission) (string, error) {
	if in.short {
		return c.ids.next(ctx)
	}
	return message.NewID(), nil
}

// aliasKey is where the store has the message ID for an answer's id, where they
// differ. Short ids are unique for a customer only.
func (e *engine) aliasKey(systemID, id string) string {
	if len(id) <= shortIDLength {
		return "part/" + systemID + "/" + strings.ToUpper(id)
	}
	return "part/" + id
}
