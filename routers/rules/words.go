package rules

import (
	"hash/fnv"
	"math"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"switchboard/message"
)

const spaces = " \t\r\n\v\f\u00a0"

// firstWord is the first word of a text in lower case; "" when there is none.
func firstWord(text string) string {
	text = strings.TrimLeft(text, spaces)
	if end := strings.IndexAny(text, spaces); end >= 0 {
		text = text[:end]
	}
	return strings.ToLower(text)
}

// E.164 numbers have at most 15 digits; below 7 it is a short code.
const (
	minE164 = 7
	maxE164 = 15
)

// countryCode is the ISO 3166 code (ZA) of an E.164 number, with or without its
// plus; "" for what is none.
func (f *facts) countryCode(addr string) string {
	if addr == f.countryOf {
		return f.country
	}
	f.countryOf, f.country = addr, ""
	digits := strings.TrimPrefix(addr, "+")
	if len(digits) < minE164 || len(digits) > maxE164 || strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	if number, err := phonenumbers.Parse("+"+digits, ""); err == nil {
		f.country = phonenumbers.GetRegionCodeForNumber(number)
	}
	return f.country
}

// healthOf is how the transport on a connector is.
func (f *facts) healthOf(connector string) message.Health {
	if f.health == nil {
		return message.OK
	}
	return f.health.Of(connector)
}

// fraction places a text between 0 and 1, always at the same place, evenly, and
// elsewhere for each salt.
func fraction(salt, text string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(salt))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(text))
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}

// mix spreads a hash's bits (the finalizer of MurmurHash3), since FNV leaves
// those of the last characters near each other.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// share says whether the arrival's person is among percent of all: always the
// same ones, and with a larger percent those and more.
func (f *facts) share(percent float64, salt string) bool {
	return fraction(salt, f.arrival.Person())*100 < percent
}

// draw is the person's lot for a target: the highest wins (weighted rendezvous
// hashing), so that a target that goes moves only its own people.
func draw(salt, person, target string, weight int) float64 {
	u := fraction(salt+"\x00"+target, person)
	if u == 0 {
		return math.Inf(-1)
	}
	return float64(weight) / -math.Log(u)
}
