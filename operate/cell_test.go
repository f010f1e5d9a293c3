package operate_test

import (
	"testing"

	"switchboard/operate"
)

func TestCellsAreNoFormulas(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "@SUM(1)": "'@SUM(1)", "+cmd|'/C calc'!A0": "'+cmd|'/C calc'!A0", "-1+cmd|'x'!A": "'-1+cmd|'x'!A",
		"\tx": "'\tx", "\rx": "'\rx", "'quoted": "''quoted",
		"+27831234567": "+27831234567", "-1": "-1", "hello": "hello", "": "", "27=3": "27=3",
	} {
		got := operate.EscapeCell(text)
		if got != want || operate.UnescapeCell(got) != text {
			t.Errorf("%q becomes %q, want %q; back %q", text, got, want, operate.UnescapeCell(got))
		}
	}
}
