package simulator

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"switchboard/smpp/pdu"
)

// Status is a command_status; in YAML its name, ESME_RTHROTTLED, or a number.
type Status pdu.Status

// highestNamed is the last command_status with a name (SMPP 5.0 §4.7.6).
const highestNamed = pdu.StatusInvBcastChanInd

// UnmarshalText reads a name or a number, 0x400 as well.
func (s *Status) UnmarshalText(text []byte) error {
	name := strings.ToUpper(string(text))
	if n, err := strconv.ParseUint(name, 0, 32); err == nil {
		*s = Status(n)
		return nil
	}
	for n := pdu.StatusOK; n <= highestNamed; n++ {
		if n.String() == name {
			*s = Status(n)
			return nil
		}
	}
	return fmt.Errorf("no command_status is called %q: write its name, ESME_RTHROTTLED, or its number, 0x58", text)
}

// Probability is from 0 to 1; in YAML 0.05, or 5%.
type Probability float64

// UnmarshalText reads a probability.
func (p *Probability) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		f /= 100
	}
	if err != nil || f < 0 || f > 1 {
		return fmt.Errorf("%q is no probability: write a number from 0 to 1, or a percentage, 5%%", text)
	}
	*p = Probability(f)
	return nil
}

// Spread is a span of time that is drawn anew each time: from Min to Max, all
// alike; or, with Mean, exponential on top of Min and at most Max when that is
// set. In YAML 20ms, 10ms..50ms, or ~2s for a mean.
type Spread struct{ Min, Max, Mean time.Duration }

// Fixed is a span that is always the same.
func Fixed(d time.Duration) Spread { return Spread{Min: d} }

// Between is a span between two.
func Between(low, high time.Duration) Spread { return Spread{Min: low, Max: high} }

// UnmarshalText reads a span.
func (s *Spread) UnmarshalText(text []byte) error {
	low, high, ranged := strings.Cut(string(text), "..")
	low, mean := strings.CutPrefix(low, "~")
	var err error
	var first, second time.Duration
	if first, err = parseSpan(low); err != nil {
		return err
	}
	if ranged {
		if second, err = parseSpan(high); err != nil {
			return err
		}
		if second < first {
			return fmt.Errorf("%q ends before it begins", text)
		}
	}
	*s = Spread{Min: first, Max: second}
	if mean {
		*s = Spread{Mean: first, Max: second}
	}
	return nil
}

func parseSpan(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		text = strconv.FormatFloat(seconds, 'f', -1, 64) + "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no span of time: write 20ms, 10ms..50ms, or ~2s for a mean", text)
	}
	return d, nil
}

func (s Spread) zero() bool { return s == Spread{} }

func (s Spread) draw(r *rand.Rand) time.Duration {
	switch {
	case s.Mean > 0:
		d := s.Min + time.Duration(r.ExpFloat64()*float64(s.Mean))
		if s.Max > 0 {
			d = min(d, s.Max)
		}
		return d
	case s.Max > s.Min:
		return s.Min + time.Duration(r.Int64N(int64(s.Max-s.Min)))
	}
	return s.Min
}

// or is s, or another span when s is not set.
func (s Spread) or(d time.Duration) Spread {
	if s.zero() {
		return Fixed(d)
	}
	return s
}

// Pattern is a regular expression; the zero Pattern matches everything.
type Pattern struct{ *regexp.Regexp }

// Matching compiles a pattern, and panics when it is none.
func Matching(expression string) Pattern { return Pattern{regexp.MustCompile(expression)} }

// UnmarshalText compiles a pattern.
func (p *Pattern) UnmarshalText(text []byte) (err error) {
	if p.Regexp, err = regexp.Compile(string(text)); err != nil {
		return fmt.Errorf("reading a pattern: %w", err)
	}
	return nil
}

func (p Pattern) matches(text string) bool { return p.Regexp == nil || p.MatchString(text) }
