package smppserver

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

// addresses is a list of addresses as a file has it: an address, the beginning
// of some with * behind it, or a regular expression between slashes, which must
// match the complete address. A leading + is ignored.
type addresses []*regexp.Regexp

func parseAddresses(list []string) (all addresses, err error) {
	for _, text := range list {
		pattern := regexp.QuoteMeta(bare(text))
		if prefix, ok := strings.CutSuffix(text, "*"); ok {
			pattern = regexp.QuoteMeta(bare(prefix)) + ".*"
		}
		if inner, ok := strings.CutPrefix(text, "/"); ok && len(inner) > 1 && strings.HasSuffix(inner, "/") {
			pattern = strings.TrimSuffix(inner, "/")
		}
		if pattern == "" {
			return nil, fmt.Errorf("%q is no address; write one, the beginning of some with * behind it, or /a regular expression/", text)
		}
		compiled, err := regexp.Compile(`^(?s:` + pattern + `)$`)
		if err != nil {
			return nil, fmt.Errorf("%q is no regular expression: %w", text, err)
		}
		all = append(all, compiled)
	}
	return all, nil
}

func (a addresses) has(addr string) bool {
	return slices.ContainsFunc(a, func(p *regexp.Regexp) bool { return p.MatchString(bare(addr)) })
}

func bare(addr string) string { return strings.TrimPrefix(addr, "+") }

// toSMPP is an address of the fleet as customers get it.
func toSMPP(addr string) pdu.Address {
	if addr == "" {
		return pdu.Address{}
	}
	a := smpp.NewAddress(addr, pdu.TONUnknown, pdu.NPIE164)
	a.Addr = cut(a.Addr, smpp.MaxAddress)
	return a
}

func cut(s string, most int) string { return s[:min(len(s), most)] }
