package msisdn_test

import (
	"slices"
	"strings"
	"testing"

	"switchboard/internal/msisdn"
)

var za = msisdn.NewNumbers("ZA")

// One number in six spellings has one normal form.
func TestNormal(t *testing.T) {
	for _, spelling := range []string{
		"+27831234567", "27831234567", "0831234567", "0027831234567", "083 123 4567", "+27 (83) 123-4567",
	} {
		if got := za.Normal(spelling); got != "27831234567" {
			t.Errorf("%q is %q", spelling, got)
		}
	}
	for address, want := range map[string]string{
		"12345": "12345", "+12345": "12345", "Bot@Example.org": "bot@example.org", "": "", "+": "+",
		"0831234567": "0831234567", // nothing says of which country
	} {
		if got := msisdn.NewNumbers("").Normal(address); got != want {
			t.Errorf("%q is %q, want %q", address, got, want)
		}
	}
}

func TestSpellings(t *testing.T) {
	for address, want := range map[string]string{
		"0831234567": "0831234567 27831234567 +27831234567 0027831234567",
		"bot":        "bot",
		"12345":      "12345 +12345",
	} {
		if got := za.Spellings(address); strings.Join(got, " ") != want {
			t.Errorf("%q is written %q, want %q", address, got, want)
		}
	}
	if got := za.Spellings("+27831234567"); !slices.Contains(got, "0831234567") {
		t.Errorf("the national number is not in %q", got)
	}
}

func TestCountry(t *testing.T) {
	if got, err := msisdn.Country("za"); err != nil || got != "ZA" {
		t.Errorf("za is %q, %v", got, err)
	}
	if _, err := msisdn.Country("Zululand"); err == nil {
		t.Error("Zululand is a country")
	}
}
