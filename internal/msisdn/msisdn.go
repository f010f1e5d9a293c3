// Package msisdn reads telephone numbers, and says which are the same.
package msisdn

import (
	"fmt"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nyaruka/phonenumbers"
)

// Country checks the option that says whose national numbers are meant: two
// letters as in ISO 3166, in either case, or none.
func Country(country string) (string, error) {
	upper := strings.ToUpper(country)
	if upper != "" && !phonenumbers.GetSupportedRegions()[upper] {
		return "", fmt.Errorf("is %q, which is no country; write two letters as in ISO 3166: ZA", country)
	}
	return upper, nil
}

// maxNumber bounds what is looked at: fifteen digits and what people put between
// them.
const maxNumber = 40

// Parse reads an address as a number of the country, and else as an international
// one that may lack its plus. It is nil for what is no valid number: short codes
// and names too. Without a country only international numbers are understood.
func Parse(address, country string) *phonenumbers.PhoneNumber {
	if len(address) > maxNumber || strings.Trim(address, "+0123456789 ()-./") != "" {
		return nil
	}
	tries := []string{address}
	if digits, found := strings.CutPrefix(address, "00"); found {
		tries = []string{"+" + digits, address}
	} else if !strings.HasPrefix(address, "+") {
		tries = append(tries, "+"+address)
	}
	for _, try := range tries {
		number, err := phonenumbers.Parse(try, country)
		if err == nil && phonenumbers.IsValidNumber(number) {
			return number
		}
	}
	return nil
}

// Numbers compares addresses. It remembers what it parsed last: parsing takes
// longer than all else that happens to a message.
type Numbers struct {
	country string
	parsed  *lru.Cache[string, string]
}

// maxParsed bounds the numbers remembered, about 1 MB.
const maxParsed = 10_000

// NewNumbers compares addresses as people of a country write them; without one,
// national numbers are not understood.
func NewNumbers(country string) *Numbers {
	parsed, err := lru.New[string, string](maxParsed)
	if err != nil {
		panic(err) // the size is not above 0
	}
	return &Numbers{country, parsed}
}

// Normal is the form in which addresses are compared: two spellings of one number
// have the same. It is the digits of the international number; of what is no valid
// number the digits without a plus, or the text in lower case.
func (n *Numbers) Normal(address string) string {
	digits, international := strings.CutPrefix(address, "+")
	if isDigits(digits) {
		switch {
		case international || n.country == "" && !strings.HasPrefix(digits, "00"):
			return digits
		case len(digits) <= longestShortCode:
			return digits
		}
	}
	if normal, known := n.parsed.Get(address); known {
		return normal
	}
	normal := strings.ToLower(address)
	if number := Parse(address, n.country); number != nil {
		normal = strings.TrimPrefix(phonenumbers.Format(number, phonenumbers.E164), "+")
	}
	n.parsed.Add(address, normal)
	return normal
}

// longestShortCode is how many digits a number needs at least to be a person's.
const longestShortCode = 6

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// Spellings are how an address may be written elsewhere: as it is, in its normal
// form, with a plus, with 00, and as a national number of the country.
func (n *Numbers) Spellings(address string) []string {
	normal := n.Normal(address)
	all := []string{address}
	add := func(spelling string) {
		if !slices.Contains(all, spelling) {
			all = append(all, spelling)
		}
	}
	if !isDigits(normal) {
		return all
	}
	add(normal)
	add("+" + normal)
	number := Parse(address, n.country)
	if number == nil {
		return all
	}
	add("00" + normal)
	if n.country != "" && phonenumbers.GetRegionCodeForNumber(number) == n.country {
		add(phonenumbers.NormalizeDigitsOnly(phonenumbers.Format(number, phonenumbers.NATIONAL)))
	}
	return all
}
