// Package endpoint takes apart Twisted's endpoint descriptions, which Vumi's
// files name hosts and ports by: `tcp:host=smsc.example.org:port=2775`.
package endpoint

import "strings"

// Split divides a description at its colons; a backslash makes the character
// behind it part of the text.
func Split(text string) (parts []string) {
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			part.WriteByte(text[i])
		case text[i] == ':':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(text[i])
		}
	}
	return append(parts, part.String())
}
