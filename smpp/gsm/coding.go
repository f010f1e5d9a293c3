package gsm

import (
	"errors"
	"fmt"
	"strings"
)

// Coding is a way to write text, or data, as octets.
type Coding uint8

// The codings.
const (
	GSM7       Coding = iota // GSM 03.38, one septet an octet, as most SMSCs want it
	GSM7Packed               // GSM 03.38, eight septets in seven octets
	ASCII                    // IA5
	Latin1                   // ISO 8859-1
	Cyrillic                 // ISO 8859-5
	Hebrew                   // ISO 8859-8
	UCS2                     // UTF-16, big-endian: beyond the BMP by surrogate pairs, as phones do
	UCS2LE                   // UTF-16, little-endian, which some SMSCs send by mistake
	UTF8                     // no SMPP coding, but what some SMSCs mean by data_coding 0

	// What SMSCs of a country mean by a data_coding, by the names of Python.
	Windows1250
	Windows1251
	Windows1252
	Windows1253
	Windows1254
	Windows1255
	Windows1256
	Latin2 // ISO 8859-2
	Greek  // ISO 8859-7
	Latin5 // ISO 8859-9
	Latin9 // ISO 8859-15
	KOI8R
	KOI8U
	ShiftJIS
	ISO2022JP
	EUCJP
	EUCKR
	GBK
	GB18030
	Big5

	Octets // data, not text
)

// codingNames lists, first, the name String returns, then the other names
// ParseCoding takes, in lower case without "-", "_" and " ": Python's among them.
func codingNames() [Octets + 1][]string {
	return [...][]string{
		GSM7:       {"gsm0338", "gsm", "gsm7"},
		GSM7Packed: {"gsm0338-packed", "gsm0338packed", "gsmpacked", "gsm7packed"},
		ASCII:      {"ascii", "usascii", "ia5"},
		Latin1:     {"latin1", "iso88591", "l1"},
		Cyrillic:   {"iso-8859-5", "iso88595", "cyrillic"},
		Hebrew:     {"iso-8859-8", "iso88598", "hebrew"},
		UCS2:       {"ucs2", "utf16be", "utf16"},
		UCS2LE:     {"ucs2-le", "ucs2le", "utf16le"},
		UTF8:       {"utf-8", "utf8", "u8"},

		Windows1250: {"cp1250", "windows1250"},
		Windows1251: {"cp1251", "windows1251"},
		Windows1252: {"cp1252", "windows1252"},
		Windows1253: {"cp1253", "windows1253"},
		Windows1254: {"cp1254", "windows1254"},
		Windows1255: {"cp1255", "windows1255"},
		Windows1256: {"cp1256", "windows1256"},
		Latin2:      {"iso-8859-2", "iso88592", "latin2", "l2"},
		Greek:       {"iso-8859-7", "iso88597", "greek"},
		Latin5:      {"iso-8859-9", "iso88599", "latin5", "l5"},
		Latin9:      {"iso-8859-15", "iso885915", "latin9", "l9"},
		KOI8R:       {"koi8-r", "koi8r"},
		KOI8U:       {"koi8-u", "koi8u"},
		ShiftJIS:    {"shift_jis", "shiftjis", "sjis", "csshiftjis"},
		ISO2022JP:   {"iso2022_jp", "iso2022jp", "csiso2022jp"},
		EUCJP:       {"euc-jp", "eucjp", "ujis"},
		EUCKR:       {"euc-kr", "euckr", "ksc5601", "korean"},
		GBK:         {"gbk", "cp936", "gb2312"},
		GB18030:     {"gb18030"},
		Big5:        {"big5", "big5tw"},

		Octets: {"octets", "binary"},
	}
}

// String returns the coding's name, as ParseCoding takes it.
func (c Coding) String() string {
	if c > Octets {
		return fmt.Sprintf("coding %d", uint8(c))
	}
	return codingNames()[c][0]
}

// ParseCoding returns the coding of a name: "gsm0338", "ucs2", "utf-16be",
// "latin-1", in any case.
func ParseCoding(name string) (Coding, error) {
	plain := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
	for c, names := range codingNames() {
		for _, n := range names {
			if n == plain || n == strings.ToLower(name) {
				return Coding(c), nil
			}
		}
	}
	return 0, fmt.Errorf("no coding is called %q: there are %s", name, strings.Join(CodingNames(), ", "))
}

// CodingNames returns the names of all codings.
func CodingNames() (list []string) {
	for _, names := range codingNames() {
		list = append(list, names[0])
	}
	return list
}

// DataCoding returns the data_coding of a coding (SMPP 3.4 §5.2.19). Codings
// SMPP has no value for get 0, the SMSC's default.
func (c Coding) DataCoding() uint8 {
	switch c {
	case ASCII:
		return 1
	case Latin1:
		return 3
	case Octets:
		return 4
	case ISO2022JP:
		return 5
	case ShiftJIS:
		return 9
	case Cyrillic:
		return 6
	case Hebrew:
		return 7
	case UCS2, UCS2LE:
		return 8
	}
	return 0
}

// FromDataCoding returns the coding a data_coding stands for (SMPP 3.4
// §5.2.19), also for the values with a message class or a waiting indication
// (GSM 03.38 §4). The Japanese ones are what Vumi takes them for. Compressed ones,
// and those for which there is no table, are Octets.
func FromDataCoding(dataCoding uint8) Coding {
	switch dataCoding {
	case 0:
		return GSM7
	case 1:
		return ASCII
	case 3:
		return Latin1
	case 5, 10:
		return ISO2022JP
	case 9:
		return ShiftJIS
	case 6:
		return Cyrillic
	case 7:
		return Hebrew
	case 8:
		return UCS2
	}
	switch group := dataCoding >> 4; {
	case group >= 0x1 && group <= 0x7 && dataCoding&0x20 == 0: // general or to be deleted, not compressed
		return [...]Coding{GSM7, Octets, UCS2, Octets}[dataCoding>>2&3]
	case group == 0xC, group == 0xD: // message waiting
		return GSM7
	case group == 0xE:
		return UCS2
	case group == 0xF && dataCoding&4 == 0: // message class
		return GSM7
	}
	return Octets
}

// MessageClass returns the class a data_coding carries (GSM 03.38 §4), 0 for a
// flash message, and whether it carries one.
func MessageClass(dataCoding uint8) (class uint8, ok bool) {
	general := dataCoding&0xC0 == 0 && dataCoding&0x10 != 0
	if general || dataCoding&0xF0 == 0xF0 {
		return dataCoding & 3, true
	}
	return 0, false
}

// Flash returns the data_coding of a text of this coding that is shown at once
// and not stored, class 0 (GSM 03.38 §4). Only septets and UCS2 have one; for
// others it is false.
func (c Coding) Flash() (dataCoding uint8, ok bool) {
	switch c {
	case GSM7, GSM7Packed:
		return 0x10, true
	case UCS2:
		return 0x18, true
	case Octets:
		return 0x14, true
	}
	return c.DataCoding(), false
}

// ErrNotText is the error of writing or reading text with the coding Octets.
var ErrNotText = errors.New("octets are data, not text")

// EncodeError is a character the coding does not have.
type EncodeError struct {
	Coding Coding
	Rune   rune
	Offset int // of the character in the text, in octets
}

// Error names the character.
func (e *EncodeError) Error() string {
	return fmt.Sprintf("%s has no %q (U+%04X, at octet %d of the text)", e.Coding, e.Rune, e.Rune, e.Offset)
}

// DecodeError is octets the coding gives no meaning to.
type DecodeError struct {
	Coding Coding
	Offset int // of the first such octet
}

// Error says where.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("octet %d is no %s", e.Offset, e.Coding)
}
