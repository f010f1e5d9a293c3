package gsm

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Encoding is a coding with, for septets, its national language tables.
type Encoding struct {
	Coding Coding
	Shift  Shift
}

// Encode returns the octets of a text that needs no user data header. The error
// is an *EncodeError, or ErrNotText.
func (e Encoding) Encode(text string) ([]byte, error) {
	units, err := e.units(text)
	if err != nil {
		return nil, err
	}
	if e.Coding == GSM7Packed {
		return AppendPacked(make([]byte, 0, len(units)), units, 0), nil
	}
	return units, nil
}

// units returns what segments are cut from: octets, and for GSM7Packed septets
// that are not packed yet.
func (e Encoding) units(text string) ([]byte, error) {
	var b []byte
	var bad int
	switch e.Coding {
	case GSM7, GSM7Packed:
		b, bad = e.Shift.appendSeptets(make([]byte, 0, len(text)+8), text)
	case ASCII, Latin1, Cyrillic, Hebrew:
		b, bad = encodeBytes(e.Coding, text)
	case UCS2, UCS2LE:
		b, bad = encodeUTF16(e.Coding.order(), text)
	case UTF8:
		b, bad = []byte(text), invalidUTF8(text)
	default:
		set := e.Coding.charset()
		if set == nil {
			return nil, ErrNotText
		}
		b, bad = encodeCharset(set, text)
	}
	if bad >= 0 {
		r, _ := utf8.DecodeRuneInString(text[bad:])
		return nil, &EncodeError{Coding: e.Coding, Rune: r, Offset: bad}
	}
	return b, nil
}

// Decode returns the text of octets that followed a user data header of
// headerLength octets, its length octet included; 0 when there was none. Where
// the octets have no meaning the text has U+FFFD, and the error is a
// *DecodeError; it is ErrNotText, with no text, for Octets.
func (e Encoding) Decode(b []byte, headerLength int) (string, error) {
	if e.Coding == GSM7Packed {
		b = Unpack(b, -1, headerLength)
	}
	return e.text(b)
}

// text is Decode for unpacked septets.
func (e Encoding) text(b []byte) (string, error) {
	var text string
	var bad int
	switch e.Coding {
	case GSM7, GSM7Packed:
		text, bad = e.Shift.decodeSeptets(b)
	case ASCII, Latin1, Cyrillic, Hebrew:
		text, bad = decodeBytes(e.Coding, b)
	case UCS2, UCS2LE:
		text, bad = decodeUTF16(e.Coding.order(), b)
	case UTF8:
		text = string(b)
		if bad = invalidUTF8(text); bad >= 0 {
			text = strings.ToValidUTF8(text, string(undefined))
		}
	default:
		set := e.Coding.charset()
		if set == nil {
			return "", ErrNotText
		}
		text, bad = decodeCharset(set, b)
	}
	if bad >= 0 {
		return text, &DecodeError{Coding: e.Coding, Offset: bad}
	}
	return text, nil
}

func (c Coding) order() binary.ByteOrder {
	if c == UCS2LE {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// encodeBytes is for the codings of one octet a character.
func encodeBytes(c Coding, text string) (b []byte, bad int) {
	b = make([]byte, 0, len(text))
	for i, r := range text {
		octet, ok := byteOf(c, r)
		if !ok {
			return b, i
		}
		b = append(b, octet)
	}
	return b, -1
}

func byteOf(c Coding, r rune) (byte, bool) {
	switch c {
	case ASCII:
		return byte(r), r < utf8.RuneSelf
	case Cyrillic:
		return charmap.ISO8859_5.EncodeRune(r)
	case Hebrew:
		return charmap.ISO8859_8.EncodeRune(r)
	}
	return byte(r), r <= 0xFF
}

func decodeBytes(c Coding, b []byte) (text string, bad int) {
	out, bad := make([]byte, 0, len(b)+len(b)/4), -1
	for i, octet := range b {
		r := runeOf(c, octet)
		if r == undefined && bad < 0 {
			bad = i
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), bad
}

func runeOf(c Coding, octet byte) rune {
	switch {
	case c == Cyrillic:
		return charmap.ISO8859_5.DecodeByte(octet)
	case c == Hebrew:
		return charmap.ISO8859_8.DecodeByte(octet)
	case c == ASCII && octet >= utf8.RuneSelf:
		return undefined
	}
	return rune(octet)
}

// encodeUTF16 refuses only what is no UTF-8.
func encodeUTF16(order binary.ByteOrder, text string) (b []byte, bad int) {
	b = make([]byte, 0, 2*len(text))
	put := func(unit rune) {
		b = append(b, 0, 0)
		order.PutUint16(b[len(b)-2:], uint16(unit))
	}
	for i, r := range text {
		if r == utf8.RuneError && invalidUTF8(text[i:min(i+utf8.UTFMax, len(text))]) == 0 {
			return b, i
		}
		if high, low := utf16.EncodeRune(r); high != undefined {
			put(high)
			r = low
		}
		put(r)
	}
	return b, -1
}

func decodeUTF16(order binary.ByteOrder, b []byte) (text string, bad int) {
	out, bad := make([]byte, 0, len(b)+len(b)/2), -1
	for i := 0; i < len(b); i += 2 {
		r, wellFormed := undefined, false
		if i+1 < len(b) {
			r, wellFormed = rune(order.Uint16(b[i:])), true
		}
		if utf16.IsSurrogate(r) {
			if wellFormed = i+3 < len(b); wellFormed {
				r = utf16.DecodeRune(r, rune(order.Uint16(b[i+2:])))
				wellFormed = r != undefined
			}
			if wellFormed {
				i += 2
			} else {
				r = undefined
			}
		}
		if !wellFormed && bad < 0 {
			bad = i
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), bad
}

// invalidUTF8 returns the position of the first octet that is no UTF-8, or -1.
func invalidUTF8(s string) int {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
