package pdu

import (
	"fmt"
	"time"
)

const (
	// timeLength is the number of characters of a time on the wire (§7.1.1).
	timeLength = 16
	// shortTimeLength is that of one without tenths and zone.
	shortTimeLength = 12
	// MaxRelative is the longest period FormatRelative takes. Longer ones would
	// need months, which an SMSC may count as it likes.
	MaxRelative = 31*24*time.Hour + 23*time.Hour + 59*time.Minute + 59*time.Second

	quarterHour = 15 * time.Minute
	// maxQuarters is the largest difference to UTC, in quarter hours (§7.1.1.1).
	maxQuarters = 48
	century     = 2000
)

// Period is a relative time (§7.1.1.2): years, months and days are the
// calendar's.
type Period struct{ Years, Months, Days, Hours, Minutes, Seconds int }

// Time is a time as SMPP writes it: either a moment or a period from now.
type Time struct {
	Moment   time.Time // when Relative is false
	Relative bool
	Period   Period // when Relative is true
}

// At returns the moment meant, for a period that begins at now.
func (t Time) At(now time.Time) time.Time {
	if !t.Relative {
		return t.Moment
	}
	p := t.Period
	return now.AddDate(p.Years, p.Months, p.Days).Add(time.Duration(p.Hours)*time.Hour +
		time.Duration(p.Minutes)*time.Minute + time.Duration(p.Seconds)*time.Second)
}

// ParseTime reads "YYMMDDhhmmsstnnp" (§7.1.1): p is + or - for a moment nn
// quarter hours ahead of or behind UTC, R for a period. The twelve digits
// without the rest are taken for a moment in UTC. Years are those from 2000 on.
func ParseTime(s string) (Time, error) {
	if len(s) != timeLength && len(s) != shortTimeLength {
		return Time{}, fmt.Errorf("time %q has %d characters, not %d", s, len(s), timeLength)
	}
	var f [shortTimeLength / 2]int
	for i := range f {
		n, ok := twoDigits(s[2*i:])
		if !ok {
			return Time{}, fmt.Errorf("time %q: %q is no number", s, s[2*i:2*i+2])
		}
		f[i] = n
	}
	if len(s) == timeLength && s[timeLength-1] == 'R' {
		return Time{Relative: true, Period: Period{f[0], f[1], f[2], f[3], f[4], f[5]}}, nil
	}
	nanoseconds, zone, err := parseZone(s[shortTimeLength:])
	if err != nil {
		return Time{}, fmt.Errorf("time %q: %w", s, err)
	}
	at := time.Date(century+f[0], time.Month(f[1]), f[2], f[3], f[4], f[5], nanoseconds, zone)
	if at.Month() != time.Month(f[1]) || at.Day() != f[2] || at.Hour() != f[3] || at.Minute() != f[4] || at.Second() != f[5] {
		return Time{}, fmt.Errorf("time %q is on no calendar", s)
	}
	return Time{Moment: at}, nil
}

// parseZone reads "tnnp": tenths of a second and the difference to UTC.
func parseZone(s string) (nanoseconds int, zone *time.Location, err error) {
	if s == "" {
		return 0, time.UTC, nil
	}
	quarters, ok := twoDigits(s[1:])
	if !ok || s[0] < '0' || s[0] > '9' || quarters > maxQuarters || (s[3] != '+' && s[3] != '-') {
		return 0, nil, fmt.Errorf("%q is no tenth of a second, quarter hours and + or -", s)
	}
	nanoseconds = int(s[0]-'0') * int(100*time.Millisecond)
	if quarters == 0 {
		return nanoseconds, time.UTC, nil
	}
	offset := quarters * int(quarterHour/time.Second)
	if s[3] == '-' {
		offset = -offset
	}
	return nanoseconds, time.FixedZone("", offset), nil
}

func twoDigits(s string) (int, bool) {
	if s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}

// FormatAbsolute writes a moment (§7.1.1.1), to the tenth of a second, in the
// zone of t when that is whole quarter hours from UTC, else in UTC.
func FormatAbsolute(t time.Time) string {
	_, offset := t.Zone()
	quarters := offset / int(quarterHour/time.Second)
	if offset%int(quarterHour/time.Second) != 0 || quarters > maxQuarters || quarters < -maxQuarters {
		t, quarters = t.UTC(), 0
	}
	sign := '+'
	if quarters < 0 {
		sign, quarters = '-', -quarters
	}
	tenths := t.Nanosecond() / int(100*time.Millisecond)
	return fmt.Sprintf("%s%d%02d%c", t.Format("060102150405"), tenths, quarters, sign)
}

// FormatRelative writes a period from now (§7.1.1.2), rounded up to seconds. It
// fails for one that is not positive, or longer than MaxRelative: say those with
// FormatAbsolute.
func FormatRelative(d time.Duration) (string, error) {
	if d <= 0 || d > MaxRelative {
		return "", fmt.Errorf("a period of %s cannot be given relative to now: it must be positive and at most %s", d, MaxRelative)
	}
	s := int((d + time.Second - 1) / time.Second)
	return fmt.Sprintf("0000%02d%02d%02d%02d000R", s/86400, s/3600%24, s/60%60, s%60), nil
}
