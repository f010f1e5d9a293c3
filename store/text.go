package store

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Printable makes text that every database keeps: NUL becomes \u0000, and each
// byte that is not UTF-8 becomes \xNN. All other text stays as it is.
func Printable(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == 0:
			b.WriteString(`\u0000`)
		default:
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String()
}
