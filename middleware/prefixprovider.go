package middleware

import (
	"context"
	"slices"
	"strings"

	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// PrefixProvider sets the provider (the network operator) of messages that have
// none, by how the person's address begins. The longest prefix that fits counts;
// where none fits the provider stays unknown.
type PrefixProvider struct {
	// ProviderPrefixes maps beginnings of addresses to providers.
	ProviderPrefixes options.Map[string] `yaml:"provider_prefixes"`
	// NormalizeMSISDN brings an address into shape before its beginning is
	// compared; the message keeps its own. Default: not at all.
	NormalizeMSISDN *NormalizeMSISDN `yaml:"normalize_msisdn"`

	prefixes []options.Pair[string] // the longest first
}

// NormalizeMSISDN turns national numbers into international ones, as simply as
// Vumi does.
type NormalizeMSISDN struct {
	// CountryCode takes the place of a leading 0: "27" for South Africa.
	CountryCode string `yaml:"country_code"`
	// StripPlus removes the plus again.
	StripPlus bool `yaml:"strip_plus"`
}

var _ worker.Middleware = (*PrefixProvider)(nil)

// NewPrefixProvider makes the middleware with its defaults.
func NewPrefixProvider() *PrefixProvider { return &PrefixProvider{} }

// Validate checks the prefixes and sorts them.
func (p *PrefixProvider) Validate() error {
	if len(p.ProviderPrefixes) == 0 {
		return options.Fieldf("provider_prefixes", "is missing or empty")
	}
	if n := p.NormalizeMSISDN; n != nil && (n.CountryCode == "" || strings.Trim(n.CountryCode, "0123456789") != "") {
		return options.Fieldf("normalize_msisdn", "needs country_code, in digits: \"27\"")
	}
	p.prefixes = slices.Clone(p.ProviderPrefixes)
	slices.SortStableFunc(p.prefixes, func(a, b options.Pair[string]) int { return len(b.Key) - len(a.Key) })
	return nil
}

// Wrap sets a missing provider.
func (p *PrefixProvider) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if flow == message.EventFlow {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if e.Message.Provider == "" {
			e.Message.Provider = p.provider(e.Person())
		}
		return next(ctx, e)
	}
}

func (p *PrefixProvider) provider(address string) string {
	if p.NormalizeMSISDN != nil {
		address = p.NormalizeMSISDN.apply(address)
	}
	for _, pair := range p.prefixes {
		if strings.HasPrefix(address, pair.Key) {
			return pair.Value
		}
	}
	return ""
}

// longestShortCode is what Vumi takes for a short code and leaves alone.
const longestShortCode = 5

func (n *NormalizeMSISDN) apply(raw string) string {
	number := n.international(raw)
	if n.StripPlus {
		number = strings.TrimLeft(number, "+")
	}
	return number
}

func (n *NormalizeMSISDN) international(raw string) string {
	if len(raw) <= longestShortCode {
		return raw
	}
	digits := strings.Map(func(r rune) rune {
		if r == '+' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, raw)
	switch {
	case strings.HasPrefix(digits, "00"):
		return "+" + digits[2:]
	case strings.HasPrefix(digits, "0"):
		return "+" + n.CountryCode + digits[1:]
	case strings.HasPrefix(digits, n.CountryCode):
		return "+" + digits
	}
	return digits
}
