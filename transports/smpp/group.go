package smpp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// groupState is what the store has of the messages of one group's name.
type groupState struct {
	group *openGroup // nil when none is open
	parts map[int]storedPart
	done  string // what the last of this name consisted of
}

// look finds what there is of a group, and of the one before it.
func (c *concat) look(ctx context.Context, name string, total int) (s groupState, err error) {
	keys := []string{name + "/id", name + "/done"}
	for n := range total {
		keys = append(keys, partKey(name, n+1))
	}
	found, err := c.state.Get(ctx, keys...)
	if err != nil {
		return s, fmt.Errorf("looking for a message's parts: %w", err)
	}
	s.done, s.parts = found[name+"/done"], map[int]storedPart{}
	if found[name+"/id"] == "" {
		return s, nil
	}
	s.group = new(openGroup)
	if err := json.Unmarshal([]byte(found[name+"/id"]), s.group); err != nil {
		return s, fmt.Errorf("reading what is kept of a message's parts: %w", err)
	}
	for n := range total {
		var p storedPart
		text, there := found[partKey(name, n+1)]
		if there && json.Unmarshal([]byte(text), &p) == nil && (p.Slot == s.group.Slot || p.doubtful()) {
			s.parts[n+1] = p
		}
	}
	return s, nil
}

// doubtful: the part may be of the message before.
func (p storedPart) doubtful() bool { return p.Slot == 0 }

// displacedBy: a part is not the group's, but of another message with its
// reference.
func (s groupState) displacedBy(n int, part storedPart) bool {
	before, there := s.parts[n]
	return there && !before.doubtful() && !bytes.Equal(before.Payload, part.Payload)
}

// received: the last message of the group's name had such a part.
func (s groupState) received(n int, part storedPart) bool {
	return strings.Contains(s.done, doneMark(n, part.Payload))
}

// with adds a part.
func (s groupState) with(n int, part storedPart) groupState {
	if s.parts == nil {
		s.parts = map[int]storedPart{}
	}
	s.parts[n] = part
	return s
}

// whole: all parts are there, without a doubt.
func (s groupState) whole() bool {
	for _, p := range s.parts {
		if p.doubtful() {
			return false
		}
	}
	return len(s.parts) == s.group.Total
}

// doneMark is how a part of a finished message is remembered.
func doneMark(n int, payload []byte) string {
	sum := sha256.Sum256(payload)
	return fmt.Sprintf(" %d:%s ", n, hex.EncodeToString(sum[:8]))
}
