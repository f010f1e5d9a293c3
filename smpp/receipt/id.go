package receipt

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// IDFormat says how an SMSC spells its message ids in one place.
type IDFormat uint8

// The formats.
const (
	Verbatim    IDFormat = iota // ids are compared as they are, but for case and leading zeros
	Hexadecimal                 // a number in hexadecimal
	Decimal                     // a number in decimal
	Exact                       // ids are compared octet by octet
	Auto                        // Verbatim, until a Detector has found the format out
)

// String returns the format's name, as ParseIDFormat takes it.
func (f IDFormat) String() string {
	switch f {
	case Hexadecimal:
		return "hex"
	case Decimal:
		return "decimal"
	case Exact:
		return "exact"
	case Auto:
		return "auto"
	}
	return "verbatim"
}

// ParseIDFormat returns the format of a name: verbatim, exact, hex, decimal or auto.
func ParseIDFormat(name string) (IDFormat, error) {
	switch strings.ToLower(name) {
	case "verbatim", "":
		return Verbatim, nil
	case "hex", "hexadecimal":
		return Hexadecimal, nil
	case "decimal", "dec":
		return Decimal, nil
	case "exact":
		return Exact, nil
	case "auto":
		return Auto, nil
	}
	return Verbatim, fmt.Errorf("no message id format is called %q: there are verbatim, exact, hex, decimal and auto", name)
}

// UnmarshalText reads what ParseIDFormat does.
func (f *IDFormat) UnmarshalText(text []byte) (err error) {
	*f, err = ParseIDFormat(string(text))
	return err
}

// Normal returns the one spelling of an id given in this format: lower case,
// without leading zeros, blanks and "0x"; a number in hexadecimal is turned into
// decimal, so that ids normalised from declared formats are equal when the
// numbers are. An id that is no number of the format is treated as Verbatim. Exact
// leaves it as it is.
func (f IDFormat) Normal(id string) string {
	if f == Exact {
		return id
	}
	plain := plainID(id)
	if s, ok := convert(plain, 16, 10); ok && f == Hexadecimal {
		return s
	}
	return plain
}

// Relation is how an SMSC's spelling in a receipt comes from that in its
// submit_sm_resp.
type Relation uint8

// The relations.
const (
	Same         Relation = iota // but for case and leading zeros
	HexToDecimal                 // hexadecimal in the response, decimal in the receipt
	DecimalToHex                 // the other way round
)

// relations is their number.
const relations = int(DecimalToHex) + 1

// String names the relation.
func (r Relation) String() string {
	switch r {
	case HexToDecimal:
		return "hex in the response, decimal in the receipt"
	case DecimalToHex:
		return "decimal in the response, hex in the receipt"
	}
	return "the same in response and receipt"
}

// Candidate is an id a receipt may mean.
type Candidate struct {
	ID       string // in the spelling of Verbatim.Normal
	Relation Relation
}

// Submitted returns the ids the receipt with the given id may be for, the
// likeliest first, as Verbatim.Normal spells the ids of submit_sm_resp: for
// matching when formats are not declared. Store messages under one spelling, and
// look up at most three.
func Submitted(receiptID string) []Candidate {
	plain := plainID(receiptID)
	list := []Candidate{{plain, Same}}
	if s, ok := convert(plain, 10, 16); ok && s != plain {
		list = append(list, Candidate{s, HexToDecimal})
	}
	if s, ok := convert(plain, 16, 10); ok && s != plain {
		list = append(list, Candidate{s, DecimalToHex})
	}
	return list
}

// Spellings returns every spelling, normalised, that a receipt may use for the
// id of a submit_sm_resp, the likeliest first: the other way round of Submitted,
// for stores that are looked up by the receipt's id as it is.
func Spellings(submitID string) []string {
	plain := plainID(submitID)
	list := []string{plain}
	if s, ok := convert(plain, 16, 10); ok && s != plain {
		list = append(list, s)
	}
	if s, ok := convert(plain, 10, 16); ok && s != plain {
		list = append(list, s)
	}
	return list
}

// Detector learns from the receipts that matched which relation an SMSC uses: an
// id such as "100" can be meant in each of the three ways, and the wrong one may
// be another message's. The zero value knows nothing yet. It is not safe for
// concurrent use.
type Detector struct {
	seen [relations]uint64
}

// Observe notes that a receipt was matched by a relation no other could
// have matched it by: by an id for which only one candidate was found.
func (d *Detector) Observe(r Relation) {
	if int(r) < relations {
		d.seen[r]++
	}
}

// Known returns the relation seen most, and whether there was any.
func (d *Detector) Known() (Relation, bool) {
	best := Same
	for r, n := range d.seen {
		if n > d.seen[best] {
			best = Relation(r)
		}
	}
	return best, d.seen[best] > 0
}

// Submitted is the function of that name with the relations seen most first.
func (d *Detector) Submitted(receiptID string) []Candidate {
	list := Submitted(receiptID)
	slices.SortStableFunc(list, func(a, b Candidate) int {
		switch x, y := d.seen[a.Relation], d.seen[b.Relation]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return list
}

// plainID drops what SMSCs add and leave out: case, leading zeros, blanks, "0x".
func plainID(id string) string {
	s := strings.ToLower(strings.Trim(id, blanks))
	if hex, ok := strings.CutPrefix(s, "0x"); ok && hex != "" {
		s = hex
	}
	if rest := strings.TrimLeft(s, "0"+blanks); rest != "" {
		return rest
	}
	if s != "" {
		return "0"
	}
	return s
}

// maxNumber is the most digits an id read as a number may have. Longer ones,
// up to SMPP's 64, are no counters that an SMSC would convert.
const maxNumber = 40

// convert rewrites a number from one base to another; false when it is none.
func convert(s string, from, to int) (string, bool) {
	if s == "" || len(s) > maxNumber || strings.ContainsFunc(s, func(r rune) bool { return digit(r) >= from }) {
		return "", false
	}
	if n, err := strconv.ParseUint(s, from, 64); err == nil {
		return strconv.FormatUint(n, to), true
	}
	n, ok := new(big.Int).SetString(s, from)
	if !ok {
		return "", false
	}
	return n.Text(to), true
}

// digit is what a character of plainID's is worth in a number.
func digit(r rune) int {
	switch {
	case r >= '0' && r <= '9':
		return int(r - '0')
	case r >= 'a' && r <= 'f':
		return int(r-'a') + 10
	}
	return math.MaxInt
}
