// Package schedule reads times of the week as operators write them:
// "mon-fri 08:00-17:00, sat 09:00-12:00".
package schedule

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // files name time zones, and a container may know none
)

// Week is a set of times of the week.
type Week []span

// span is the same time on several days; to may be before from, into the next
// morning.
type span struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day
}

const minutesADay = 24 * 60

// Parse reads spans separated by commas: days, a time, or both. A day is mon, tue,
// wed, thu, fri, sat, sun, or a range of them.
func Parse(text string) (Week, error) {
	var s Week
	for part := range strings.SplitSeq(text, ",") {
		one := span{to: minutesADay}
		words := strings.Fields(part)
		if len(words) == 0 || len(words) > 2 {
			return nil, fmt.Errorf("%q is no time of the week; write it like mon-fri 08:00-17:00", strings.TrimSpace(part))
		}
		var err error
		if last := words[len(words)-1]; strings.Contains(last, ":") {
			if one.from, one.to, err = parseTimes(last); err != nil {
				return nil, err
			}
			words = words[:len(words)-1]
		}
		if one.days, err = parseDays(words); err != nil {
			return nil, err
		}
		s = append(s, one)
	}
	return s, nil
}

func parseTimes(text string) (from, to int, err error) {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		return 0, 0, fmt.Errorf("%q is no range of times; write it like 08:00-17:00", text)
	}
	if from, err = parseMinute(first); err == nil {
		to, err = parseMinute(last)
	}
	if err == nil && from == to {
		err = fmt.Errorf("%q is no time at all", text)
	}
	return from, to, err
}

func parseMinute(text string) (int, error) {
	if text == "24:00" {
		return minutesADay, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time of day; write it like 08:00", text)
	}
	return t.Hour()*60 + t.Minute(), nil
}

func parseDays(words []string) (days [7]bool, err error) {
	if len(words) == 0 {
		return [7]bool{true, true, true, true, true, true, true}, nil
	}
	if len(words) > 1 {
		return days, fmt.Errorf("%q is no range of times; write it like 08:00-17:00", words[1])
	}
	first, last, ranged := strings.Cut(words[0], "-")
	if !ranged {
		last = first
	}
	from, err := parseDay(first)
	if err != nil {
		return days, err
	}
	to, err := parseDay(last)
	if err != nil {
		return days, err
	}
	for d := from; ; d = (d + 1) % 7 {
		days[d] = true
		if d == to {
			return days, nil
		}
	}
}

func parseDay(text string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(text, d.String()[:3]) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%q is no day; write mon, tue, wed, thu, fri, sat or sun", text)
}

// Holds says whether t is in the week, by t's own clock.
func (s Week) Holds(t time.Time) bool {
	minute := t.Hour()*60 + t.Minute()
	today, yesterday := t.Weekday(), (t.Weekday()+6)%7
	for _, one := range s {
		switch {
		case one.from < one.to:
			if one.days[today] && minute >= one.from && minute < one.to {
				return true
			}
		case one.days[today] && minute >= one.from, one.days[yesterday] && minute < one.to:
			return true
		}
	}
	return false
}

// Zone is a time zone by its name, such as Africa/Johannesburg.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("%q is no time zone; write it like Africa/Johannesburg", name)
	}
	return zone, nil
}
