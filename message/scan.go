package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// indexFrom is the width from which an object's keys are looked up in a map
// while it is read, so that a body of a million members costs no more than its
// length.
const indexFrom = 64

// scanBody splits a body into its members, refusing what is not one JSON
// object in UTF-8.
func scanBody(body []byte) ([]member, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not valid UTF-8")
	}
	text := string(body)
	start := skipSpace(text, 0)
	end := skipValue(text, start, 0)
	if start == len(text) || text[start] != '{' {
		if end < 0 || skipSpace(text, end) != len(text) {
			return nil, errNotJSON
		}
		return nil, fmt.Errorf("the body is %s, not an object", shape(text[start:]))
	}
	if end < 0 || skipSpace(text, end) != len(text) {
		return nil, errNotJSON
	}
	return scanObject(text[start:end]), nil
}

var errNotJSON = errors.New("the body is not valid JSON")

// A body of Vumi's has fewer members than that, and a member is seldom shorter
// than so many bytes.
const (
	likelyMembers = 24
	likelyMember  = 20
)

// scanObject splits the text of a valid JSON object into its members. Of a key
// that is there twice the last value counts, as everywhere else in the fleet.
func scanObject(text string) []member {
	members := make([]member, 0, min(len(text)/likelyMember+1, likelyMembers))
	var index map[string]int
	i := skipSpace(text, 1)
	for text[i] != '}' {
		end := skipString(text, i)
		key, _ := unquote(text[i:end])
		start := skipSpace(text, skipSpace(text, end)+1)
		end = skipValue(text, start, 0)
		index = put(&members, index, member{key, text[start:end]})
		i = skipSpace(text, end)
		if text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return members
}

func put(members *[]member, index map[string]int, m member) map[string]int {
	at := -1
	if index != nil {
		if i, known := index[m.key]; known {
			at = i
		}
	} else {
		at = find(*members, m.key)
	}
	if at >= 0 {
		(*members)[at].raw = m.raw
		return index
	}
	*members = append(*members, m)
	if index != nil {
		index[m.key] = len(*members) - 1
	} else if len(*members) == indexFrom {
		index = make(map[string]int, 4*indexFrom)
		for i, known := range *members {
			index[known.key] = i
		}
	}
	return index
}

func find(members []member, key string) int {
	for i := range members {
		if members[i].key == key {
			return i
		}
	}
	return -1
}

// unquote reads a JSON string; ok is false for any other JSON text.
func unquote(raw string) (text string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; plain(inner) {
		return inner, true
	}
	return unescape(raw)
}

// unescape is apart from unquote so that plain strings, which most are, need
// nothing allocated.
func unescape(raw string) (text string, ok bool) {
	err := json.Unmarshal([]byte(raw), &text)
	return text, err == nil
}

// plain says that a string's JSON text is the string itself.
func plain(inner string) bool {
	for i := range len(inner) {
		if inner[i] == '\\' {
			return false
		}
	}
	return true
}

// shape names what JSON text is, for errors.
func shape(raw string) string {
	switch {
	case raw == "":
		return "nothing"
	case raw == "null":
		return "null"
	case raw == "true" || raw == "false":
		return "a boolean"
	case raw[0] == '"':
		return "a string"
	case raw[0] == '[':
		return "an array"
	case raw[0] == '{':
		return "an object"
	}
	return "a number"
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a JSON string: raw UTF-8, only what must be escaped.
// Invalid UTF-8 becomes U+FFFD, since Vumi's queues stop at it for good.
func appendQuoted(out []byte, text string) []byte {
	out = append(out, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, '\\', 'n')
		case r < ' ' || r == 0x7f:
			out = append(out, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}
