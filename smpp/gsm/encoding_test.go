package gsm_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"switchboard/smpp/gsm"
)

func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The septets and UCS2 are those the npm package smpp 0.5.1 makes; the packed
// ones are well-known examples.
func TestKnownOctets(t *testing.T) {
	for _, test := range []struct {
		coding     gsm.Coding
		text, want string
	}{
		{gsm.GSM7, "hello", "68656c6c6f"},
		{gsm.GSM7, "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ", "000102030405060708090a0b0c0d0e0f101112131415161718191a"},
		{gsm.GSM7, "ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?", "1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"},
		{gsm.GSM7, "¡ABCXYZÄÖÑÜ§¿abcxyzäöñüà", "4041424358595a5b5c5d5e5f6061626378797a7b7c7d7e7f"},
		{gsm.GSM7, "^{}\\[~]|€\f", "1b141b281b291b2f1b3c1b3d1b3e1b401b651b0a"},
		{gsm.GSM7Packed, "hellohello", "e8329bfd4697d9ec37"},
		{gsm.GSM7Packed, "How are you?", "c8f71d14969741f977fd07"},
		{gsm.GSM7Packed, "1234567", "31d98c56b3dd1a"}, // seven septets, filled with a carriage return
		{gsm.UCS2, "Hi 😀", "004800690020d83dde00"},
		{gsm.UCS2LE, "Hi 😀", "4800690020003dd800de"},
		{gsm.Latin1, "Grüße", "4772fcdf65"},
		{gsm.Cyrillic, "Привет", "bfe0d8d2d5e2"},
		{gsm.Hebrew, "שלום", "f9ece5ed"},
		{gsm.ASCII, "a~`", "617e60"},
		{gsm.UTF8, "é", "c3a9"},
	} {
		e := gsm.Encoding{Coding: test.coding}
		got, err := e.Encode(test.text)
		if err != nil || !bytes.Equal(got, unhex(t, test.want)) {
			t.Errorf("%s %q: %x, %v, want %s", test.coding, test.text, got, err, test.want)
		}
		if back, err := e.Decode(got, 0); err != nil || back != test.text {
			t.Errorf("%s %q is read as %q, %v", test.coding, test.text, back, err)
		}
	}
}

func TestNationalTables(t *testing.T) {
	for _, test := range []struct {
		shift      gsm.Shift
		text, want string
	}{
		{gsm.Shift{Single: gsm.Turkish}, "şŞğĞıİç€", "1b731b531b671b471b691b491b631b65"},
		{gsm.Shift{Locking: gsm.Turkish}, "ışğİç€", "071d0c406004"},
		{gsm.Shift{Single: gsm.Spanish}, "áÁíÍóÓúÚç", "1b611b411b691b491b6f1b4f1b751b551b09"},
		{gsm.Shift{Single: gsm.Portuguese}, "êÊãÃõÕâÂôÔ", "1b051b1f1b7b1b5b1b7c1b5c1b7f1b611b0c1b0b"},
		{gsm.Shift{Locking: gsm.Portuguese}, "êçãõâÂ", "04097b7c1d1c"},
		{gsm.Shift{Locking: gsm.Hindi}, "नमस्ते, 1", "2f424c5f27592c2031"},
		{gsm.Shift{Locking: gsm.Kannada}, "ಡ", "24"},
		{gsm.Shift{Locking: gsm.Urdu}, "اب ,", "0002202c"},
		{gsm.Shift{Locking: gsm.Hindi, Single: gsm.Hindi}, "१A\"।", "1b1d1b411b051b19"},
		{gsm.Shift{Single: gsm.Telugu}, "€", "1b65"},
	} {
		e := gsm.Encoding{Shift: test.shift}
		got, err := e.Encode(test.text)
		if err != nil || hex.EncodeToString(got) != test.want {
			t.Errorf("%v %q: %x, %v, want %s", test.shift, test.text, got, err, test.want)
		}
		if back, err := e.Decode(got, 0); err != nil || back != test.text {
			t.Errorf("%v %q is read as %q, %v", test.shift, test.text, back, err)
		}
	}
}

// Every septet of every table that has a character is written as itself, or as a
// lower one with the same character.
func TestTablesAreTheirOwnInverse(t *testing.T) {
	for l := gsm.Default; l <= gsm.Urdu; l++ {
		for septet := range 128 {
			for _, octets := range [][]byte{{byte(septet)}, {0x1B, byte(septet)}} {
				e := gsm.Encoding{Shift: gsm.Shift{Locking: l, Single: l}}
				text, err := e.Decode(octets, 0)
				if err != nil || text == " " {
					continue
				}
				again, err := e.Encode(text)
				if err != nil || len(again) > len(octets) {
					t.Fatalf("%s %x is %q, written as %x, %v", l, octets, text, again, err)
				}
				if back, err := e.Decode(again, 0); err != nil || back != text {
					t.Errorf("%s %q is written as %x, read as %q, %v", l, text, again, back, err)
				}
			}
		}
	}
}

// The character sets that Vumi's files name, by Python's names and octets.
func TestCharsets(t *testing.T) {
	for name, c := range map[string]struct{ text, octets string }{
		"cp1252":      {"“€” é", "93809420e9"},
		"cp1251":      {"Привет", "cff0e8e2e5f2"},
		"koi8_r":      {"Привет", "f0d2c9d7c5d4"},
		"iso8859_15":  {"€", "a4"},
		"shift_jis":   {"日本", "93fa967b"},
		"iso2022_jp":  {"日本", "1b2442467c4b5c1b2842"},
		"euc-kr":      {"한국", "c7d1b1b9"},
		"gb18030":     {"中国", "d6d0b9fa"},
		"big5":        {"中國", "a4a4b0ea"},
		"windows1256": {"سلام", "d3e1c7e3"},
	} {
		coding, err := gsm.ParseCoding(name)
		if err != nil {
			t.Error(err)
			continue
		}
		e := gsm.Encoding{Coding: coding}
		if got, err := e.Decode(unhex(t, c.octets), 0); err != nil || got != c.text {
			t.Errorf("%s %s is read as %q, %v", name, c.octets, got, err)
		}
		if got, err := e.Encode(c.text); err != nil || hex.EncodeToString(got) != c.octets {
			t.Errorf("%s %q is written as %x, %v", name, c.text, got, err)
		}
	}
	var lacks *gsm.EncodeError
	if _, err := (gsm.Encoding{Coding: gsm.KOI8R}).Encode("abc€"); !errors.As(err, &lacks) || lacks.Offset != 3 {
		t.Errorf("a character that the set lacks: %v", err)
	}
	var bad *gsm.DecodeError
	if text, err := (gsm.Encoding{Coding: gsm.ShiftJIS}).Decode([]byte{'a', 0xFF}, 0); !errors.As(err, &bad) || bad.Offset != 1 || text != "a\uFFFD" {
		t.Errorf("octets without a meaning: %q, %v", text, err)
	}
}

func TestDecodeIsTolerant(t *testing.T) {
	for name, test := range map[string]struct {
		coding gsm.Coding
		octets string
		want   string
		offset int // of the error; -1 for none
	}{
		"escape before what has no extension": {gsm.GSM7, "1b41", "A", -1},
		"escape before escape":                {gsm.GSM7, "1b1b41", " A", -1},
		"escape at the end":                   {gsm.GSM7, "411b", "A ", -1},
		"no septet":                           {gsm.GSM7, "41e942", "A\uFFFDB", 1},
		"escape before no septet":             {gsm.GSM7, "1be9", " \uFFFD", 1},
		"no ASCII":                            {gsm.ASCII, "41e9", "A\uFFFD", 1},
		"half a UCS2 character":               {gsm.UCS2, "004100", "A\uFFFD", 2},
		"half a surrogate pair":               {gsm.UCS2, "0041d83d", "A\uFFFD", 2},
		"a low surrogate alone":               {gsm.UCS2, "de000041", "\uFFFDA", 0},
		"a high surrogate before a letter":    {gsm.UCS2, "d83d0041", "\uFFFDA", 0},
		"U+FFFD itself":                       {gsm.UCS2, "fffd", "\uFFFD", -1},
		"no UTF-8":                            {gsm.UTF8, "41ff", "A\uFFFD", 1},
		"no Hebrew":                           {gsm.Hebrew, "fb", "\uFFFD", 0},
		"nothing":                             {gsm.UCS2, "", "", -1},
		"packed and filled with zeros":        {gsm.GSM7Packed, "31d98c56b3dd00", "1234567", -1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := gsm.Encoding{Coding: test.coding}.Decode(unhex(t, test.octets), 0)
			offset := -1
			if e, ok := errors.AsType[*gsm.DecodeError](err); ok {
				offset = e.Offset
			}
			if got != test.want || offset != test.offset {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestEncodeNamesTheCharacter(t *testing.T) {
	for coding, text := range map[gsm.Coding]string{
		gsm.GSM7: "abcж", gsm.GSM7Packed: "abcç", gsm.ASCII: "abcé", gsm.Latin1: "abc€",
		gsm.Cyrillic: "abcé", gsm.UCS2: "abc\xff", gsm.UTF8: "abc\xff",
	} {
		_, err := gsm.Encoding{Coding: coding}.Encode(text)
		var e *gsm.EncodeError
		if !errors.As(err, &e) || e.Offset != 3 || e.Coding != coding {
			t.Errorf("%s: %v", coding, err)
		}
	}
	if _, err := (gsm.Encoding{Coding: gsm.Octets}).Encode("a"); !errors.Is(err, gsm.ErrNotText) {
		t.Errorf("octets: %v", err)
	}
	if _, err := (gsm.Encoding{Coding: gsm.Octets}).Decode([]byte("a"), 0); !errors.Is(err, gsm.ErrNotText) {
		t.Errorf("octets: %v", err)
	}
}

func TestDataCoding(t *testing.T) {
	for dataCoding, want := range map[uint8]gsm.Coding{
		0x00: gsm.GSM7, 0x01: gsm.ASCII, 0x02: gsm.Octets, 0x03: gsm.Latin1, 0x04: gsm.Octets, 0x05: gsm.ISO2022JP, 0x0A: gsm.ISO2022JP,
		0x06: gsm.Cyrillic, 0x07: gsm.Hebrew, 0x08: gsm.UCS2, 0x09: gsm.ShiftJIS, 0x0E: gsm.Octets,
		0x10: gsm.GSM7, 0x14: gsm.Octets, 0x18: gsm.UCS2, 0x11: gsm.GSM7, 0x30: gsm.Octets, 0x80: gsm.Octets,
		0xC8: gsm.GSM7, 0xD0: gsm.GSM7, 0xE0: gsm.UCS2, 0xF0: gsm.GSM7, 0xF1: gsm.GSM7, 0xF4: gsm.Octets, 0xF5: gsm.Octets,
	} {
		if got := gsm.FromDataCoding(dataCoding); got != want {
			t.Errorf("0x%02x: %s, want %s", dataCoding, got, want)
		}
	}
	for c := gsm.GSM7; c <= gsm.Octets; c++ {
		if got, err := gsm.ParseCoding(strings.ToUpper(c.String())); err != nil || got != c {
			t.Errorf("%s: %v, %v", c, got, err)
		}
		if dataCoding, ok := c.Flash(); ok {
			class, has := gsm.MessageClass(dataCoding)
			if !has || class != 0 {
				t.Errorf("flash %s: class %d, %v", c, class, has)
			}
		}
	}
	for name, want := range map[string]gsm.Coding{"utf-16be": gsm.UCS2, "UTF_16_BE": gsm.UCS2, "iso-8859-1": gsm.Latin1, "latin-1": gsm.Latin1, "gsm0338": gsm.GSM7} {
		if got, err := gsm.ParseCoding(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if c, err := gsm.ParseCoding("klingon"); err == nil {
		t.Errorf("klingon is %s", c)
	}
	if _, ok := gsm.MessageClass(0x08); ok {
		t.Error("UCS2 without a class has one")
	}
}

func TestParseLanguage(t *testing.T) {
	for l := gsm.Default; l <= gsm.Urdu; l++ {
		if got, err := gsm.ParseLanguage(strings.ToUpper(l.String())); err != nil || got != l {
			t.Errorf("%s: %v, %v", l, got, err)
		}
	}
	if l, err := gsm.ParseLanguage("klingon"); err == nil {
		t.Errorf("klingon is %s", l)
	}
}
