package operate

import (
	"regexp"
	"strings"
)

// formulaStart is what a spreadsheet takes for the start of a formula (OWASP,
// CSV Injection).
const formulaStart = "=+-@\t\r"

// plainNumber begins as a number does, +27831234567 say, and calls nothing: no
// function, no other program.
var plainNumber = regexp.MustCompile(`^[+-][0-9][^=|!(]*$`)

// EscapeCell is a CSV cell that no spreadsheet takes for a formula: an
// apostrophe stands before what would be one. A telephone number stays as it is.
func EscapeCell(cell string) string {
	if cell != "" && strings.ContainsRune(formulaStart+"'", rune(cell[0])) && !plainNumber.MatchString(cell) {
		return "'" + cell
	}
	return cell
}

// UnescapeCell takes EscapeCell's apostrophe away again.
func UnescapeCell(cell string) string {
	rest, escaped := strings.CutPrefix(cell, "'")
	if escaped && rest != "" && strings.ContainsRune(formulaStart+"'", rune(rest[0])) {
		return rest
	}
	return cell
}
