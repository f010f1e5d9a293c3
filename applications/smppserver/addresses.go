package smppserver

import (
	"fmt"
	"regexp"
	"strings"

	"switchboard/smpp"
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

// toSMPP is an address of the fleet as customers get it.
func toSMPP(addr string) pdu.Address {
	if addr == "" {
		return pdu.Address{}
	}
	a := smpp.NewAddress(addr, pdu.TONUnknown, pdu.NPIE164)
	a.Addr = cut(a.Addr, maxAddress)
	return a
}

// maxAddress is the most characters an address has (§5.2.8).
const maxAddress = 20

func cut(s string, most int) string { return s[:min(len(s), most)] }
