package message

import "strings"

// The functions below return the index behind a piece of JSON text (RFC 8259)
// that starts at i, or -1 where there is no such piece. One pass tells both
// where a member ends and whether the body is valid.

// maxDepth is how deep values may nest. Python's reader, at a Vumi worker's end
// of the queue, gives up at about a thousand.
const maxDepth = 500

// skipValue skips any value; depth is how many are around it.
func skipValue(text string, i, depth int) int {
	if i >= len(text) || depth > maxDepth {
		return -1
	}
	switch c := text[i]; {
	case c == '"':
		return skipString(text, i)
	case c == '{':
		return skipMembers(text, i, depth)
	case c == '[':
		return skipItems(text, i, depth)
	case c == '-' || isDigit(c):
		return skipNumber(text, i)
	}
	for _, word := range [...]string{"null", "true", "false"} {
		if strings.HasPrefix(text[i:], word) {
			return i + len(word)
		}
	}
	return -1
}

func skipMembers(text string, i, depth int) int {
	if i = skipSpace(text, i+1); i < len(text) && text[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(text) || text[i] != '"' {
			return -1
		}
		if i = skipString(text, i); i < 0 {
			return -1
		}
		if i = skipSpace(text, i); i >= len(text) || text[i] != ':' {
			return -1
		}
		if i = skipValue(text, skipSpace(text, i+1), depth+1); i < 0 {
			return -1
		}
		more := false
		if i, more = skipComma(text, i, '}'); !more {
			return i
		}
	}
}

func skipItems(text string, i, depth int) int {
	if i = skipSpace(text, i+1); i < len(text) && text[i] == ']' {
		return i + 1
	}
	for {
		if i = skipValue(text, i, depth+1); i < 0 {
			return -1
		}
		more := false
		if i, more = skipComma(text, i, ']'); !more {
			return i
		}
	}
}

// skipComma skips what stands between two items, or ends the list of them.
func skipComma(text string, i int, end byte) (next int, more bool) {
	i = skipSpace(text, i)
	switch {
	case i >= len(text):
		return -1, false
	case text[i] == ',':
		return skipSpace(text, i+1), true
	case text[i] == end:
		return i + 1, false
	}
	return -1, false
}

func skipSpace(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

func skipString(text string, i int) int {
	for i++; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i = skipEscape(text, i+1); i < 0 {
				return -1
			}
		}
	}
	return -1
}

// skipEscape returns the index of an escape's last character.
func skipEscape(text string, i int) int {
	if i >= len(text) {
		return -1
	}
	if text[i] != 'u' {
		if strings.IndexByte(`"\/bfnrt`, text[i]) < 0 {
			return -1
		}
		return i
	}
	for range 4 {
		if i++; i >= len(text) || !isHex(text[i]) {
			return -1
		}
	}
	return i
}

func skipNumber(text string, i int) int {
	if text[i] == '-' {
		i++
	}
	switch {
	case i < len(text) && text[i] == '0':
		i++
	default:
		if i = skipDigits(text, i); i < 0 {
			return -1
		}
	}
	if i < len(text) && text[i] == '.' {
		if i = skipDigits(text, i+1); i < 0 {
			return -1
		}
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		return skipDigits(text, i)
	}
	return i
}

// skipDigits skips at least one digit.
func skipDigits(text string, i int) int {
	start := i
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
