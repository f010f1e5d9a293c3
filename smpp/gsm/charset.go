package gsm

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// charset returns the table of a coding that is a plain character set; nil for
// the others.
func (c Coding) charset() encoding.Encoding {
	switch c {
	case Windows1250:
		return charmap.Windows1250
	case Windows1251:
		return charmap.Windows1251
	case Windows1252:
		return charmap.Windows1252
	case Windows1253:
		return charmap.Windows1253
	case Windows1254:
		return charmap.Windows1254
	case Windows1255:
		return charmap.Windows1255
	case Windows1256:
		return charmap.Windows1256
	case Latin2:
		return charmap.ISO8859_2
	case Greek:
		return charmap.ISO8859_7
	case Latin5:
		return charmap.ISO8859_9
	case Latin9:
		return charmap.ISO8859_15
	case KOI8R:
		return charmap.KOI8R
	case KOI8U:
		return charmap.KOI8U
	case ShiftJIS:
		return japanese.ShiftJIS
	case ISO2022JP:
		return japanese.ISO2022JP
	case EUCJP:
		return japanese.EUCJP
	case EUCKR:
		return korean.EUCKR
	case GBK:
		return simplifiedchinese.GBK
	case GB18030:
		return simplifiedchinese.GB18030
	case Big5:
		return traditionalchinese.Big5
	}
	return nil
}

// encodeCharset returns the octets of a text, or where it has a character that
// the set lacks.
func encodeCharset(set encoding.Encoding, text string) (b []byte, bad int) {
	if b, err := set.NewEncoder().Bytes([]byte(text)); err == nil && utf8.ValidString(text) {
		return b, -1
	}
	for i, r := range text {
		if _, err := set.NewEncoder().String(string(r)); err != nil || r == utf8.RuneError {
			return nil, i
		}
	}
	return nil, 0
}

// decodeCharset returns the text of octets, with U+FFFD where they have no
// meaning, and about where the first of these is.
func decodeCharset(set encoding.Encoding, b []byte) (text string, bad int) {
	decoded, err := set.NewDecoder().Bytes(b)
	text = strings.ToValidUTF8(string(decoded), string(undefined))
	bad = strings.IndexRune(text, undefined)
	if bad < 0 && err == nil {
		return text, -1
	}
	before, _ := set.NewEncoder().String(text[:max(bad, 0)])
	return text, min(len(before), len(b))
}
