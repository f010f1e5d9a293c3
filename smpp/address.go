package smpp

import (
	"strings"

	"switchboard/smpp/pdu"
)

// MaxAddress is the most characters an address has (§5.2.8, §5.2.9).
const MaxAddress = 20

// IsNumber reports whether an address without its + is a telephone number or a
// code that phones can dial: digits, * and #.
func IsNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '*' && r != '#' })
}

// FormatAddress returns an address as the fleet writes it: with + where its type
// of number is international.
func FormatAddress(a pdu.Address) string {
	if a.TON == pdu.TONInternational && IsNumber(a.Addr) {
		return "+" + a.Addr
	}
	return a.Addr
}

// NewAddress returns an address of the fleet as SMPP writes it. Numbers get ton
// and npi; a leading + is taken off and makes an unknown type international.
// What is no number is alphanumeric.
func NewAddress(addr string, ton pdu.TON, npi pdu.NPI) pdu.Address {
	digits, plus := strings.CutPrefix(addr, "+")
	switch {
	case addr == "":
		return pdu.Address{TON: ton, NPI: npi}
	case !IsNumber(digits):
		return pdu.Address{TON: pdu.TONAlphanumeric, NPI: pdu.NPIUnknown, Addr: addr}
	case plus && ton == pdu.TONUnknown:
		ton, npi = pdu.TONInternational, pdu.NPIE164
	}
	return pdu.Address{TON: ton, NPI: npi, Addr: digits}
}

// Numbering is the type of number and the numbering plan (§5.2.5, §5.2.6) of
// addresses, where the fleet's form of them does not tell.
type Numbering struct {
	SourceTON *pdu.TON `json:"source_addr_ton,omitempty"`
	SourceNPI *pdu.NPI `json:"source_addr_npi,omitempty"`
	DestTON   *pdu.TON `json:"dest_addr_ton,omitempty"`
	DestNPI   *pdu.NPI `json:"dest_addr_npi,omitempty"`
}

// NumberingOf returns the numbering of a message's addresses that FormatAddress
// loses. It says nothing of ordinary ones: the other end has its own way to write
// those.
func NumberingOf(source, dest pdu.Address) (n Numbering) {
	if !ordinary(source) {
		n.SourceTON, n.SourceNPI = &source.TON, &source.NPI
	}
	if !ordinary(dest) {
		n.DestTON, n.DestNPI = &dest.TON, &dest.NPI
	}
	return n
}

func ordinary(a pdu.Address) bool {
	usual := pdu.TONInternational
	if !IsNumber(a.Addr) {
		usual = pdu.TONAlphanumeric
	}
	return (a.TON == pdu.TONUnknown || a.TON == usual) && (a.NPI == pdu.NPIUnknown || a.NPI == pdu.NPIE164)
}

// Apply gives a message's addresses their numbering.
func (n Numbering) Apply(m *pdu.Message) {
	set(&m.Source.TON, n.SourceTON)
	set(&m.Source.NPI, n.SourceNPI)
	set(&m.Dest.TON, n.DestTON)
	set(&m.Dest.NPI, n.DestNPI)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
