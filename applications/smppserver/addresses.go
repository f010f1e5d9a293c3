package smppserver

import (
	"fmt"
	"regexp"
	"strings"

	"switchboard/smpp/pdu"
)

// addresses is a list of addresses as a file has it: an address, the beginning
// of some with * behind it, or a regular expression between slashes, which must
// fit the whole address. A leading + counts nowhere.
type addresses []addressPattern

type addressPattern struct {
	exact  string
	prefix string // when exact is empty
	whole  *regexp.Regexp
}

func parseAddresses(list []string) (addresses, error) {
	var all addresses
	for _, text := range list {
		p, err := parseAddress(text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func parseAddress(text string) (addressPattern, error) {
	if inner, ok := strings.CutPrefix(text, "/"); ok && len(inner) > 1 && strings.HasSuffix(inner, "/") {
		whole, err := regexp.Compile(`^(?:` + strings.TrimSuffix(inner, "/") + `)$`)
		if err != nil {
			return addressPattern{}, fmt.Errorf("%q is no regular expression: %w", text, err)
		}
		return addressPattern{whole: whole}, nil
	}
	if prefix, ok := strings.CutSuffix(text, "*"); ok {
		return addressPattern{prefix: bare(prefix)}, nil
	}
	if bare(text) == "" {
		return addressPattern{}, fmt.Errorf("%q is no address; write one, the beginning of some with * behind it, or /a regular expression/", text)
	}
	return addressPattern{exact: bare(text)}, nil
}

func (a addresses) has(addr string) bool {
	addr = bare(addr)
	for _, p := range a {
		switch {
		case p.whole != nil:
			if p.whole.MatchString(addr) {
				return true
			}
		case p.exact != "":
			if p.exact == addr {
				return true
			}
		case strings.HasPrefix(addr, p.prefix):
			return true
		}
	}
	return false
}

func bare(addr string) string { return strings.TrimPrefix(addr, "+") }

func isNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '*' && r != '#' })
}

// fromSMPP is an address as the fleet writes it: with + where a customer says
// that it is international.
func fromSMPP(a pdu.Address) string {
	if a.TON == pdu.TONInternational && isNumber(a.Addr) {
		return "+" + a.Addr
	}
	return a.Addr
}

// toSMPP is the other way round.
func toSMPP(addr string) pdu.Address {
	digits, plus := strings.CutPrefix(addr, "+")
	switch {
	case addr == "":
		return pdu.Address{}
	case !isNumber(digits):
		return pdu.Address{TON: pdu.TONAlphanumeric, Addr: cut(addr, maxAddress)}
	case plus:
		return pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: cut(digits, maxAddress)}
	}
	return pdu.Address{NPI: pdu.NPIE164, Addr: cut(digits, maxAddress)}
}

// maxAddress is the most characters an address has (§5.2.8).
const maxAddress = 20

func cut(s string, most int) string { return s[:min(len(s), most)] }
