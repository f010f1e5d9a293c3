package smppserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"switchboard/message"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// group is a long message's parts, as the state store has them: until all are
// there and the broker has the message, or they are given up, and for overFor
// after that. Each part was answered when it was safe there. One lane works on a
// group at a time.
type group struct {
	Customer string        `json:"customer"`
	Source   pdu.Address   `json:"source"`
	Dests    []pdu.Address `json:"dests"`
	Total    int           `json:"total"`
	Parts    []groupPart   `json:"parts"`
	Messages []string      `json:"messages,omitempty"` // IDs, one for each person, when all parts are there
	Over     bool          `json:"over,omitempty"`     // the broker has them, or the parts are given up
}

type groupPart struct {
	recordPart
	Seq     uint8  `json:"seq"`
	Header  int    `json:"header,omitempty"` // octets of the user data header
	Payload []byte `json:"payload"`
	Again   bool   `json:"again,omitempty"` // it came once more when the group was over
}

// overFor is how long a part is known again after its group.
const overFor = 10 * time.Minute

// part is the one with a number; nil when there is none.
func (g *group) part(seq uint8) *groupPart {
	if g == nil {
		return nil
	}
	i := slices.IndexFunc(g.Parts, func(p groupPart) bool { return p.Seq == seq })
	if i < 0 {
		return nil
	}
	return &g.Parts[i]
}

func (g *group) whole() bool { return len(g.Parts) == g.Total }

func (e *engine) groupKey(c *customer, in *submission, p gsm.Part) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%t\x00%d", in.Source.Addr, in.people, p.Reference, p.Wide, p.Total))
	return e.prefix + "group/" + c.systemID + "/" + hex.EncodeToString(sum[:16])
}

// group finds a group; nil when there is none.
func (e *engine) group(ctx context.Context, key string) (*group, error) {
	found, err := e.state.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking for the other parts of a message: %w", err)
	}
	g := new(group)
	if text, there := found[key]; !there || json.Unmarshal([]byte(text), g) != nil {
		return nil, nil
	}
	return g, nil
}

// groupTTL is longer than the parts wait for each other, so that they are there
// when they are given up.
func (e *engine) groupTTL() time.Duration { return 2*e.options.ReassemblyTTL.Std() + time.Minute }

func (e *engine) groupEntry(key string, g *group) (store.Entry, error) {
	text, err := json.Marshal(g)
	if err != nil {
		return store.Entry{}, message.Permanent(fmt.Errorf("keeping a part of a message: %w", err))
	}
	ttl := e.groupTTL()
	if g.Over {
		ttl = overFor
	}
	return store.Entry{Key: key, Value: string(text), TTL: ttl}, nil
}

func (e *engine) keepGroup(ctx context.Context, key string, g *group) error {
	entry, err := e.groupEntry(key, g)
	if err != nil {
		return err
	}
	if err := e.state.Set(ctx, entry); err != nil {
		return fmt.Errorf("keeping a part of a message: %w", err)
	}
	return nil
}
