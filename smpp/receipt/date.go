package receipt

import (
	"strings"
	"time"

	"switchboard/smpp/pdu"
)

// parseDate reads a date as SMSCs write it: YYMMDDhhmm with or without seconds,
// with or without the century, with or without separators, or SMPP's own form
// (§7.1.1). It is zero for what is none.
func parseDate(s string, zone *time.Location) time.Time {
	if s == "" {
		return time.Time{}
	}
	if last := s[len(s)-1]; last == '+' || last == '-' {
		if t, err := pdu.ParseTime(s); err == nil && !t.Relative {
			return t.Moment
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t
	}
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
	for _, layout := range [...]string{"0601021504", "060102150405", "200601021504", "20060102150405", "060102"} {
		if len(layout) != len(digits) {
			continue
		}
		if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
			return t
		}
	}
	return time.Time{}
}
