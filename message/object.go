package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Object is a JSON object whose members keep their order and, until they are
// set, their exact text. The zero value is an empty object. It is read only
// when somebody asks, so carrying one through costs nothing.
//
// Copies share what they read but not what they write. An Object is not safe
// for use from several goroutines at once.
type Object struct {
	raw     string   // the text as received; empty after a change
	members []member // nil until read
}

type member struct {
	key string
	raw string // JSON text of the value
}

// NewObject makes an object of one Go map; keys come out sorted.
func NewObject(values map[string]any) Object {
	var o Object
	text, err := json.Marshal(values)
	if err == nil && values != nil {
		o.raw = string(text)
	}
	return o
}

// IsNull says that the object was null on the wire.
func (o *Object) IsNull() bool { return o.raw == "null" }

// Len is the number of members.
func (o *Object) Len() int { return len(o.open()) }

// Keys are the members' names in their order.
func (o *Object) Keys() []string {
	keys := make([]string, 0, o.Len())
	for _, m := range o.open() {
		keys = append(keys, m.key)
	}
	return keys
}

// Raw is the JSON text of a member, or "" when there is none.
func (o *Object) Raw(key string) string {
	if i := find(o.open(), key); i >= 0 {
		return o.members[i].raw
	}
	return ""
}

// Text is a member that is a string; "" when it is anything else or missing.
func (o *Object) Text(key string) string {
	text, _ := unquote(o.Raw(key))
	return text
}

// Object is a member that is an object; empty when it is anything else. It is
// a copy: put it back with Set after changing it.
func (o *Object) Object(key string) Object {
	raw := o.Raw(key)
	if !strings.HasPrefix(raw, "{") {
		return Object{}
	}
	return Object{raw: raw}
}

// Decode stores a member in what v points to, as encoding/json does. A missing
// member leaves v as it is.
func (o *Object) Decode(key string, v any) error {
	raw := o.Raw(key)
	if raw == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(raw), v); err != nil {
		return fmt.Errorf("reading %s: %w", key, err)
	}
	return nil
}

// Set gives a member a value: a string, number, bool, nil, Object or anything
// encoding/json can write. What it cannot write becomes null.
func (o *Object) Set(key string, value any) {
	o.set(key, encode(value))
}

// Delete removes a member.
func (o *Object) Delete(key string) {
	i := find(o.open(), key)
	if i < 0 {
		return
	}
	o.raw = ""
	o.members = append(append([]member(nil), o.members[:i]...), o.members[i+1:]...)
}

// String is the object as JSON.
func (o *Object) String() string { return string(o.append(nil)) }

// MarshalJSON writes the object as encoding/json wants it.
func (o Object) MarshalJSON() ([]byte, error) { return o.append(nil), nil }

// UnmarshalJSON reads an object or null.
func (o *Object) UnmarshalJSON(text []byte) error {
	read, err := readObject(string(bytes.TrimSpace(text)))
	if err == nil {
		*o = read
	}
	return err
}

// set replaces or adds a member in a fresh slice, so that copies keep theirs.
func (o *Object) set(key, raw string) {
	old := o.open()
	fresh := make([]member, len(old), len(old)+1)
	copy(fresh, old)
	if i := find(fresh, key); i >= 0 {
		fresh[i].raw = raw
	} else {
		fresh = append(fresh, member{key, raw})
	}
	o.raw, o.members = "", fresh
}

func (o *Object) open() []member {
	if o.members == nil && len(o.raw) > 2 && o.raw[0] == '{' {
		o.members = scanObject(o.raw)
	}
	return o.members
}

// append writes the object: as it came when nobody changed it.
func (o *Object) append(out []byte) []byte {
	if o.raw != "" {
		return append(out, o.raw...)
	}
	out = append(out, '{')
	for i, m := range o.members {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendQuoted(out, m.key)
		out = append(out, ':')
		out = append(out, m.raw...)
	}
	return append(out, '}')
}

// readObject takes valid JSON text that must be an object or null.
func readObject(raw string) (Object, error) {
	if raw == "null" || strings.HasPrefix(raw, "{") {
		return Object{raw: raw}, nil
	}
	return Object{}, fmt.Errorf("is %s, not an object", shape(raw))
}

func encode(value any) string {
	switch v := value.(type) {
	case string:
		return string(appendQuoted(nil, v))
	case Object:
		return v.String()
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(value) != nil {
		return "null"
	}
	return strings.TrimSpace(out.String())
}
