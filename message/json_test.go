package message

import (
	"strings"
	"testing"
)

// TestTheJSONThatIsTaken is what docs/stability.md says of it.
func TestTheJSONThatIsTaken(t *testing.T) {
	wire := func(content, more string) []byte {
		return []byte(`{"message_id":"1","to_addr":"1","from_addr":"2","transport_name":"t","transport_type":"sms",` +
			`"timestamp":"2013-01-01 00:00:00.000000","message_version":"20110921","message_type":"user_message","content":"` + content + `"` + more + `}`)
	}
	for name, c := range map[string]struct {
		body    []byte
		content string // "" when it is refused
		keeps   string // on the wire afterwards
	}{
		"the last of duplicate keys counts": {wire("a", `,"content":"b"`), "b", `"content": "b"`},
		"numbers of any size are kept":      {wire("a", `,"x":1e999`), "a", `"x": 1e999`},
		"a lone surrogate is kept":          {wire(`a\ud800`, ""), "a\ufffd", `a\ud800`},
		"NUL is kept":                       {wire(`a\u0000`, ""), "a\x00", `a\u0000`},
		"NUL as it is":                      {wire("a\x00", ""), "", ""},
		"octets that are not UTF-8":         {wire("a\xff", ""), "", ""},
		"anything behind the object":        {append(wire("a", ""), " {}"...), "", ""},
		"NaN":                               {wire("a", `,"x":NaN`), "", ""},
		"10,001 brackets":                   {wire("a", `,"x":`+strings.Repeat("[", 10_001)+strings.Repeat("]", 10_001)), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Decode(c.body)
			switch {
			case c.content == "" && err == nil:
				t.Error("it is taken")
			case c.content != "" && (err != nil || m.Content != c.content || !strings.Contains(string(m.Encode()), c.keeps)):
				t.Errorf("got %v, %v", m, err)
			}
		})
	}
}
