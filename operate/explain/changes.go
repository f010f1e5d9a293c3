package explain

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Change is one field of a message that was rewritten. Before or After is empty
// where the field was not there.
type Change struct {
	Field  string          `json:"field"` // as in routing_metadata.endpoint_name
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// String is `to_addr "1" → "2"`.
func (c Change) String() string {
	before, after := string(c.Before), string(c.After)
	if before == "" {
		return c.Field + " = " + after
	}
	if after == "" {
		return c.Field + " " + before + " taken away"
	}
	return c.Field + " " + before + " → " + after
}

// ownPrefix begins what dispatchers keep in every message for themselves.
const ownPrefix = "switchboard_"

// changes are the fields in which two bodies differ, down to the members of
// their metadata, sorted.
func changes(before, after []byte) []Change {
	if string(before) == string(after) {
		return nil
	}
	return compareObjects("", before, after)
}

func compareObjects(prefix string, before, after []byte) []Change {
	var a, b map[string]json.RawMessage
	_, _ = json.Unmarshal(before, &a), json.Unmarshal(after, &b) // null and nothing are empty
	keys := maps.Clone(a)
	if keys == nil {
		keys = map[string]json.RawMessage{}
	}
	maps.Copy(keys, b)
	var found []Change
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		was, is := a[key], b[key]
		if string(was) == string(is) || strings.HasPrefix(key, ownPrefix) {
			continue
		}
		if isObject(was) && isObject(is) || was == nil && isObject(is) {
			found = append(found, compareObjects(prefix+key+".", was, is)...)
			continue
		}
		found = append(found, Change{prefix + key, was, is})
	}
	return found
}

func isObject(text json.RawMessage) bool { return len(text) > 0 && text[0] == '{' }
