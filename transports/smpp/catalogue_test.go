package smpp

import (
	"strings"
	"testing"

	"switchboard/internal/catalogue"
	"switchboard/smpp/pdu"
)

// The catalogue has every status that may answer a submit_sm, and agrees with what
// becomes of the message.
func TestCatalogueOfStatuses(t *testing.T) {
	entries := catalogue.SMPP()
	seen := 0
	for s := pdu.Status(1); s < 0x400; s++ {
		name := s.String()
		if !strings.HasPrefix(name, "ESME_") || strings.Contains(name, "BCAST") || strings.Contains(name, "CANCEL") ||
			strings.Contains(name, "REPLACE") || strings.Contains(name, "QUERY") {
			continue
		}
		seen++
		want := catalogue.Permanent
		switch {
		case s.Throttling():
			want = catalogue.Throttled
		case s.Temporary():
			want = catalogue.Temporary
		case ofTheBind(s):
			want = catalogue.Alert
		}
		if got := entries[name]; got.Class != want || !strings.Contains(statusError(s).Error(), got.Text) {
			t.Errorf("%s is %q in the catalogue and %s here: %v", name, got.Class, want, statusError(s))
		}
	}
	if seen < 50 {
		t.Errorf("saw %d statuses", seen)
	}
}
