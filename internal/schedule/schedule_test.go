package schedule

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse("Mon 15:04 2006-01-02", text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, c := range []struct {
		spans, when string
		want        bool
	}{
		{"mon-fri 08:00-17:00", "Mon 08:00 2026-11-23", true},
		{"mon-fri 08:00-17:00", "Mon 17:00 2026-11-23", false},
		{"mon-fri 08:00-17:00", "Sun 12:00 2026-11-22", false},
		{"Sat, sun 10:00-11:00", "Sat 23:59 2026-11-21", true},
		{"sat, sun 10:00-11:00", "Sun 09:59 2026-11-22", false},
		{"fri-mon", "Sun 00:00 2026-11-22", true},
		{"fri-mon", "Tue 00:00 2026-11-24", false},
		{"fri 22:00-06:00", "Sat 05:59 2026-11-21", true},
		{"fri 22:00-06:00", "Fri 05:59 2026-11-20", false},
		{"22:00-24:00", "Fri 23:59 2026-11-20", true},
	} {
		s, err := Parse(c.spans)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Holds(at(c.when)); got != c.want {
			t.Errorf("%s at %s: %v", c.spans, c.when, got)
		}
	}
	for _, spans := range []string{"", "mon-", "25:00-26:00", "08:00", "08:00-08:00", "mon 8 9", "mon tue", "mon,"} {
		if _, err := Parse(spans); err == nil {
			t.Errorf("%q was taken", spans)
		}
	}
}
