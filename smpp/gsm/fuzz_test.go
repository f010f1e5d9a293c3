package gsm_test

import (
	"errors"
	"testing"
	"unicode/utf8"

	"switchboard/smpp/gsm"
)

// Whatever comes, text is valid UTF-8, and text read without error can be
// written again and read as the same.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint8(0), 0, []byte("hello\x1b\x65"))
	f.Add(uint8(6), uint8(0), uint8(0), 0, []byte("\xd8\x3d\xde\x00"))
	f.Add(uint8(1), uint8(1), uint8(1), 7, []byte("\xe8\x32\x9b\xfd\x46\x97\xd9\xec\x37"))
	f.Fuzz(func(t *testing.T, coding, locking, single uint8, header int, b []byte) {
		header = max(0, min(header, gsm.MaxHeader))
		e := gsm.Encoding{
			Coding: gsm.Coding(coding % uint8(gsm.Octets+2)),
			Shift:  gsm.Shift{Locking: gsm.Language(locking), Single: gsm.Language(single)},
		}
		text, err := e.Decode(b, header)
		if !utf8.ValidString(text) {
			t.Fatalf("%q is no UTF-8", text)
		}
		var bad *gsm.DecodeError
		if errors.As(err, &bad) && (bad.Offset < 0 || bad.Offset > 2*len(b)) {
			t.Fatal(err)
		}
		charset := e.Coding > gsm.UTF8 && e.Coding < gsm.Octets // some read two spellings of one character
		if err != nil || e.Coding == gsm.GSM7Packed || charset {
			return
		}
		again, err := e.Encode(text)
		if err != nil {
			t.Fatalf("%q cannot be written: %v", text, err)
		}
		if back, err := e.Decode(again, 0); err != nil || back != text {
			t.Fatalf("%q is written as %x, read as %q, %v", text, again, back, err)
		}
	})
}

func FuzzParsePart(f *testing.F) {
	f.Add([]byte("\x05\x00\x03\xff\x03\x02A"))
	f.Add([]byte("\x0a\x08\x04\x00\x01\x03\x02\x24\x01\x01\x00A"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, h, err := gsm.ParsePart(b)
		if err != nil {
			return
		}
		if p.Total == 0 || p.Seq == 0 || p.Seq > p.Total || p.HeaderLength+len(p.Payload) != len(b) {
			t.Fatalf("%+v", p)
		}
		_, _, _ = h.Ports()
		_ = h.Shift()
	})
}

// Any text is cut into segments that are read as the same text.
func FuzzSplit(f *testing.F) {
	f.Add(uint8(0), uint16(1), "a text with € and [brackets]")
	f.Add(uint8(1), uint16(300), "ж and 😀")
	f.Fuzz(func(t *testing.T, method uint8, reference uint16, text string) {
		s := gsm.Splitter{Method: gsm.Method(method % 5), Languages: []gsm.Language{gsm.Turkish, gsm.Hindi}}
		m, err := s.Text(text, reference)
		if err != nil {
			if utf8.ValidString(text) && len(text) < 30_000 {
				t.Fatal(err)
			}
			return
		}
		if back := reassemble(t, m); back != text {
			t.Fatalf("%q is read as %q", text, back)
		}
	})
}
