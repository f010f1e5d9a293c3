package send

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestParseStart(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90m": now.Add(90 * time.Minute), "2026-11-22": now.Add(16 * time.Hour), "2026-11-21 09:30": now.Add(90 * time.Minute),
		"2026-11-21T10:00:00+02:00": now, "": {},
	} {
		if got, err := ParseStart(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("address;name;transport\r\n+27831;Ann;\r\n\"+27833;broken\r\n;Nobody;\r\n+27836;\"Smith; Jo\";\r\n")
	f.Add("address,name\n\"a\"\"b\",c\n")
	f.Fuzz(func(t *testing.T, text string) {
		open, err := openCSV(io.NopCloser(strings.NewReader(text)), &List{})
		if err != nil {
			return
		}
		reading := &reading{table: open, request: &Request{Used: map[string]int{}, List: List{Transport: "sms"}, OnLine: func(int64, int) {}, OnBad: func(error, int) {}}}
		for to, err := range reading.recipients(t.Context()) {
			if err == nil && (to.Identity == "" || to.Backend == "") {
				t.Errorf("a recipient without an address: %+v", to)
			}
		}
	})
}
