package gsm

import (
	"fmt"
	"strings"
	"sync"
)

// Language is a national language identifier (3GPP TS 23.038 §6.2.1.2.4).
type Language uint8

// The languages that have tables. Spanish has no locking shift table.
const (
	Default Language = iota
	Turkish
	Spanish
	Portuguese
	Bengali // and Assamese
	Gujarati
	Hindi
	Kannada
	Malayalam
	Oriya
	Punjabi
	Tamil
	Telugu
	Urdu

	languages = int(Urdu) + 1
)

// String returns the language's name in lower case, as ParseLanguage takes it.
func (l Language) String() string {
	names := [languages]string{
		"default", "turkish", "spanish", "portuguese", "bengali", "gujarati", "hindi",
		"kannada", "malayalam", "oriya", "punjabi", "tamil", "telugu", "urdu",
	}
	if int(l) < languages {
		return names[l]
	}
	return fmt.Sprintf("language %d", uint8(l))
}

// ParseLanguage returns the language of a name, "turkish".
func ParseLanguage(name string) (Language, error) {
	for l := range Language(languages) {
		if strings.EqualFold(name, l.String()) {
			return l, nil
		}
	}
	return Default, fmt.Errorf("no national language table is called %q: those there are go from %s to %s", name, Turkish, Urdu)
}

// Shift says which tables a text of septets is written with: one in place of
// the default alphabet, one in place of the default extension table. The zero
// value is plain GSM 03.38.
type Shift struct {
	Locking, Single Language
}

const (
	escape      = 0x1B
	undefined   = '\uFFFD'
	septetCount = 128
)

// table maps septets to characters; 0 where there is none.
type table [septetCount]rune

// alphabet is a table with its inverse. It never changes once built.
type alphabet struct {
	decode table
	low    [256]uint8 // septet + 1 of the characters below U+0100
	high   map[rune]uint8
}

func newAlphabet(t table) *alphabet {
	a := &alphabet{decode: t, high: map[rune]uint8{}}
	for septet := septetCount - 1; septet >= 0; septet-- { // so that the lowest septet wins
		switch r := t[septet]; {
		case r == 0 || r == escape:
			a.decode[septet] = 0
		case r < 256:
			a.low[r] = uint8(septet) + 1
		default:
			a.high[r] = uint8(septet)
		}
	}
	return a
}

// septet returns the septet that stands for r.
func (a *alphabet) septet(r rune) (byte, bool) {
	if r >= 0 && r < 256 {
		return a.low[r] - 1, a.low[r] != 0
	}
	s, ok := a.high[r]
	return s, ok
}

// The alphabets are built when first asked for: most processes need two of them.
var (
	lockingAlphabets = eachOnce(lockingTable)
	singleAlphabets  = eachOnce(singleTable)
)

func eachOnce(build func(Language) table) (all [languages]func() *alphabet) {
	for i := range all {
		all[i] = sync.OnceValue(func() *alphabet { return newAlphabet(build(Language(i))) })
	}
	return all
}

// tables returns the two alphabets of a shift. A language that is not known, or
// has no locking table, gets the default (3GPP TS 23.038 §6.2.1.2.2).
func (s Shift) tables() (locking, single *alphabet) {
	return lockingAlphabets[known(s.Locking)](), singleAlphabets[known(s.Single)]()
}

func known(l Language) Language {
	if int(l) < languages {
		return l
	}
	return Default
}

func lockingTable(l Language) (t table) {
	text := [languages]string{
		Default: defaultLocking, Turkish: turkishLocking, Spanish: defaultLocking, Portuguese: portugueseLocking,
		Bengali: bengaliLocking, Gujarati: gujaratiLocking, Hindi: hindiLocking, Kannada: kannadaLocking,
		Malayalam: malayalamLocking, Oriya: oriyaLocking, Punjabi: punjabiLocking, Tamil: tamilLocking,
		Telugu: teluguLocking, Urdu: urduLocking,
	}[l]
	septet := 0
	for _, r := range text {
		if r != undefined {
			t[septet] = r
		}
		septet++
	}
	return t
}

func singleTable(l Language) table {
	switch l {
	case Turkish:
		return turkishSingle()
	case Spanish:
		return spanishSingle()
	case Portuguese:
		return portugueseSingle()
	case Bengali:
		return bengaliSingle()
	case Gujarati:
		return gujaratiSingle()
	case Hindi:
		return hindiSingle()
	case Kannada:
		return kannadaSingle()
	case Malayalam:
		return malayalamSingle()
	case Oriya:
		return oriyaSingle()
	case Punjabi:
		return punjabiSingle()
	case Tamil:
		return tamilSingle()
	case Telugu:
		return teluguSingle()
	case Urdu:
		return urduSingle()
	}
	return defaultSingle()
}
