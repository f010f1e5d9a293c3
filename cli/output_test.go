package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// A terminal gets what came from outside without control characters, however it is cut
// into writes; a file gets it as it is.
func TestForTerminal(t *testing.T) {
	const text = "id,text\n1,\x1b[2J\u009bé\r\n"
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	out := forTerminal(tty)
	for i := range len(text) {
		if _, err := io.WriteString(out, text[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	_ = tty.Close()
	shown, _ := io.ReadAll(terminal) // ends with EIO, since the other end is closed
	if got := strings.ReplaceAll(string(shown), "\r\n", "\n"); got != "id,text\n1,\\x1b[2J\\u009bé\\r\n" {
		t.Errorf("the terminal shows %q", got)
	}

	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, out := range []io.Writer{file, new(bytes.Buffer)} {
		if forTerminal(out) != out {
			t.Errorf("%T is taken for a terminal", out)
		}
	}
}
