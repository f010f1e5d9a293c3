package smpp

import (
	"fmt"
	"strings"

	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

// maxAlphanumeric is the most characters a sender with letters has on the air: eleven
// septets (3GPP TS 23.040 §9.1.2.5).
const maxAlphanumeric = 11

// source is a from_addr as SMPP writes it; an empty one leaves it to the SMSC.
func (o *Options) source(addr string) (pdu.Address, error) {
	a := smpp.NewAddress(addr, pdu.TON(o.SourceAddrTON), pdu.NPI(o.SourceAddrNPI))
	switch {
	case addr == "":
	case smpp.IsNumber(a.Addr):
		return a, checkDigits(a, "from_addr")
	case strings.ContainsFunc(addr, func(r rune) bool { return r < ' ' || r > '~' || r == '`' }):
		return a, fmt.Errorf("from_addr %q has a character that no sender can have: letters, digits and blanks are safe", addr)
	case len(addr) > maxAlphanumeric:
		return a, fmt.Errorf("from_addr %q has %d characters; a sender with letters has at most %d", addr, len(addr), maxAlphanumeric)
	}
	return a, nil
}

// dest is a to_addr as SMPP writes it.
func (o *Options) dest(addr string) (pdu.Address, error) {
	a := smpp.NewAddress(addr, pdu.TON(o.DestAddrTON), pdu.NPI(o.DestAddrNPI))
	if !smpp.IsNumber(a.Addr) {
		return a, fmt.Errorf("to_addr %q is no telephone number: digits, with or without + before them", addr)
	}
	return a, checkDigits(a, "to_addr")
}

func checkDigits(a pdu.Address, field string) error {
	if len(a.Addr) > smpp.MaxAddress {
		return fmt.Errorf("%s has %d digits; SMPP takes %d", field, len(a.Addr), smpp.MaxAddress)
	}
	return nil
}
