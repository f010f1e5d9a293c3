package telnet

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// Commands as text, for the tables.
const (
	iac  = "\xff"
	sb   = iac + "\xfa"
	se   = iac + "\xf0"
	will = iac + "\xfb"
	wont = iac + "\xfc"
	do   = iac + "\xfd"
	dont = iac + "\xfe"
)

// testLimit is a short maxLine, so that the fuzzer finds what is beyond it.
const testLimit = 20

// parse lists what is found in a stream cut into the given pieces: lines as
// "text", answers as "> bytes", and overlong lines as "too long".
func parse(pieces ...string) (found []string) {
	p := parser{limit: testLimit}
	for _, piece := range pieces {
		for in := []byte(piece); ; {
			var token token
			if token, in = p.next(in); token.kind == nothing {
				break
			}
			switch token.kind {
			case lineEnd:
				found = append(found, string(token.bytes))
			case answer:
				found = append(found, "> "+string(token.bytes))
			case tooLong:
				found = append(found, "too long")
			}
		}
	}
	return found
}

func TestParser(t *testing.T) {
	for _, c := range []struct {
		what, stream string
		want         []string
	}{
		{"telnet ends lines with CR LF", "one\r\ntwo\r\n", []string{"one", "two"}},
		{"nc ends lines with LF", "one\ntwo\n", []string{"one", "two"}},
		{"in character mode Enter is CR NUL", "one\r\x00two\r\x00", []string{"one", "two"}},
		{"a CR alone ends a line too", "one\rtwo\r", []string{"one", "two"}},
		{"an empty line is a line", "\r\n\n", []string{"", ""}},
		{"half a line is none", "one", nil},
		{"a NUL is nothing", "o\x00ne\n", []string{"one"}},
		{"WILL is refused", will + "\x1fhello\n", []string{"> " + dont + "\x1f", "hello"}},
		{"DO is refused", do + "\x01hello\n", []string{"> " + wont + "\x01", "hello"}},
		{"WONT and DONT need no answer", wont + "\x01" + dont + "\x03hello\n", []string{"hello"}},
		{"an option may have the number of a line end", "a" + wont + "\nb\n", []string{"ab"}},
		{"a subnegotiation is stripped", "a" + sb + "\x18\x00xterm\r\n" + se + "b\n", []string{"ab"}},
		{"with a doubled 255 within", "a" + sb + iac + iac + se + "b\n", []string{"ab"}},
		{"a doubled 255 is the byte", "a" + iac + iac + "b\n", []string{"a\xffb"}},
		{"interrupt and other commands are stripped", "a" + iac + "\xf4" + iac + "\xf1b\n", []string{"ab"}},
		{"a command between CR and LF", "a\r" + iac + "\xf1\nb\n", []string{"a", "b"}},
		{"are you there", iac + "\xf6", []string{"> [yes]\r\n"}},
		{"erase character", "naï" + iac + "\xf7ive\n", []string{"naive"}},
		{"erase a character that is not there", iac + "\xf7a\n", []string{"a"}},
		{"erase line", "wrong" + iac + "\xf8right\n", []string{"right"}},
		{"the longest line", strings.Repeat("x", testLimit) + "\n", []string{strings.Repeat("x", testLimit)}},
		{"a longer one is refused, the next is not", strings.Repeat("x", testLimit+1) + "\nok\n", []string{"too long", "ok"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := parse(c.stream); !slices.Equal(got, c.want) {
				t.Errorf("%q\ngot  %q\nwant %q", c.stream, got, c.want)
			}
			if got := parse(cut([]byte(c.stream), 1)...); !slices.Equal(got, c.want) {
				t.Errorf("%q byte by byte\ngot  %q\nwant %q", c.stream, got, c.want)
			}
		})
	}
}

func cut(stream []byte, size int) (pieces []string) {
	for piece := range slices.Chunk(stream, size) {
		pieces = append(pieces, string(piece))
	}
	return pieces
}

// FuzzParser: whatever comes, cut wherever, the parser finds the same, keeps no
// more than testLimit, and no line has a line end or NUL in it.
func FuzzParser(f *testing.F) {
	f.Add([]byte("hello\r\n"), 1)
	f.Add([]byte("a"+sb+"\x18"+iac+iac+se+"b"+will+"\x01\r\x00"), 3)
	f.Add([]byte(strings.Repeat("x", testLimit+10)+iac+"\xf7\n"), 100)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		whole := parse(string(stream))
		if inPieces := parse(cut(stream, max(1, min(size, 1<<16)))...); !slices.Equal(whole, inPieces) {
			t.Fatalf("whole %q, in pieces %q", whole, inPieces)
		}
		for _, line := range whole {
			if strings.HasPrefix(line, "> ") {
				continue
			}
			if len(line) > testLimit || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("found the line %q", line)
			}
		}
	})
}

func BenchmarkParser(b *testing.B) {
	stream := bytes.Repeat([]byte("a line of the usual length, as people type it\r\n"), 80)
	b.SetBytes(int64(len(stream)))
	p := parser{limit: maxLine}
	for b.Loop() {
		for in := stream; ; {
			var token token
			if token, in = p.next(in); token.kind == nothing {
				break
			}
		}
	}
}
