package smpp

import (
	"fmt"
	"strings"

	"switchboard/smpp/pdu"
)

const (
	// maxAlphanumeric is the most characters a sender with letters has on the
	// air: eleven septets (3GPP TS 23.040 §9.1.2.5).
	maxAlphanumeric = 11
	maxDigits       = 20 // §5.2.8, §5.2.9
)

// source is a from_addr as SMPP writes it; an empty one leaves it to the SMSC.
func (o *Outgoing) source(addr string) (pdu.Address, error) {
	configured := pdu.Address{TON: pdu.TON(o.SourceAddrTON), NPI: pdu.NPI(o.SourceAddrNPI), Addr: addr}
	digits, plus := strings.CutPrefix(addr, "+")
	switch {
	case addr == "":
		return configured, nil
	case isNumber(digits):
		return number(configured, digits, plus, "from_addr")
	case strings.ContainsFunc(addr, func(r rune) bool { return r < ' ' || r > '~' || r == '`' }):
		return pdu.Address{}, fmt.Errorf("from_addr %q has a character that no sender can have: letters, digits and blanks are safe", addr)
	case len(addr) > maxAlphanumeric:
		return pdu.Address{}, fmt.Errorf("from_addr %q has %d characters; a sender with letters has at most %d", addr, len(addr), maxAlphanumeric)
	}
	return pdu.Address{TON: pdu.TONAlphanumeric, NPI: pdu.NPIUnknown, Addr: addr}, nil
}

// dest is a to_addr as SMPP writes it.
func (o *Outgoing) dest(addr string) (pdu.Address, error) {
	digits, plus := strings.CutPrefix(addr, "+")
	if !isNumber(digits) {
		return pdu.Address{}, fmt.Errorf("to_addr %q is no telephone number: digits, with or without + before them", addr)
	}
	return number(pdu.Address{TON: pdu.TON(o.DestAddrTON), NPI: pdu.NPI(o.DestAddrNPI)}, digits, plus, "to_addr")
}

// number writes a telephone number. SMPP has no +: the type of number says it.
func number(a pdu.Address, digits string, plus bool, field string) (pdu.Address, error) {
	if len(digits) > maxDigits {
		return pdu.Address{}, fmt.Errorf("%s has %d digits; SMPP takes %d", field, len(digits), maxDigits)
	}
	if a.Addr = digits; plus && a.TON == pdu.TONUnknown {
		a.TON, a.NPI = pdu.TONInternational, pdu.NPIE164
	}
	return a, nil
}

func isNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '*' && r != '#' })
}

// text is an address as the fleet writes it: with + where SMSCs say that it is
// international.
func address(a pdu.Address) string {
	if a.TON == pdu.TONInternational && isNumber(a.Addr) {
		return "+" + a.Addr
	}
	return a.Addr
}

// sameEnd is how many digits at the end of two numbers make them the same: one
// may have a country code, the other a trunk prefix.
const sameEnd = 8

// samePerson compares addresses as different ends of an SMSC spell them.
func samePerson(a, b string) bool {
	if a, b = bare(a), bare(b); a == b || len(a) < sameEnd || len(b) < sameEnd {
		return a == b
	}
	return lastDigits(a) == lastDigits(b)
}

// lastDigits are what the spellings of one number have in common.
func lastDigits(addr string) string {
	addr = bare(addr)
	return strings.ReplaceAll(addr[max(0, len(addr)-sameEnd):], "/", "_")
}

func bare(addr string) string { return strings.TrimLeft(addr, "+0 ") }
