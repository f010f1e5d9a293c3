package receipt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchboard/smpp/receipt"
)

func TestDeclaredFormatsMeet(t *testing.T) {
	for name, test := range map[string]struct {
		submit, receipt     receipt.IDFormat
		submitID, receiptID string
	}{
		"hex, decimal":              {receipt.Hexadecimal, receipt.Decimal, "BC614E", "12345678"},
		"hex, padded decimal":       {receipt.Hexadecimal, receipt.Decimal, "00bc614e", "0012345678"},
		"decimal, hex":              {receipt.Decimal, receipt.Hexadecimal, "12345678", "00BC614E"},
		"case":                      {receipt.Verbatim, receipt.Verbatim, "0A1b", "a1B"},
		"padding":                   {receipt.Verbatim, receipt.Verbatim, "12345678", "0012345678"},
		"blanks":                    {receipt.Decimal, receipt.Decimal, "7", " 7\x00"},
		"0x":                        {receipt.Hexadecimal, receipt.Decimal, "0xff", "255"},
		"zero":                      {receipt.Hexadecimal, receipt.Decimal, "0000", "0"},
		"beyond 64 bits":            {receipt.Hexadecimal, receipt.Decimal, "123456789ABCDEF0123456", "22007822920628982378542166"},
		"no number after all":       {receipt.Hexadecimal, receipt.Decimal, "Queue-7", "queue-7"},
		"hex of digits only":        {receipt.Hexadecimal, receipt.Decimal, "10", "16"},
		"a UUID with another case":  {receipt.Verbatim, receipt.Verbatim, "3F2504E0-4F89-11D3", "3f2504e0-4f89-11d3"},
		"longer than any number is": {receipt.Hexadecimal, receipt.Hexadecimal, strings.Repeat("f", 64), strings.Repeat("F", 64)},
	} {
		a, b := test.submit.Normal(test.submitID), test.receipt.Normal(test.receiptID)
		if a != b || a == "" {
			t.Errorf("%s: %q and %q", name, a, b)
		}
	}
	if receipt.Hexadecimal.Normal("10") == receipt.Decimal.Normal("10") {
		t.Error("hexadecimal 10 is decimal 10")
	}
}

// However an SMSC spells an id in the two places, it is found: by the receipt's
// candidates among submitted ids, and by the submitted id's spellings.
func TestUndeclaredFormatsMeet(t *testing.T) {
	formats := []string{"%d", "%010d", "%x", "%X", "%08x", "%08X", "0x%x"}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "id")
		submit := fmt.Sprintf(rapid.SampledFrom(formats).Draw(t, "submit"), n)
		got := fmt.Sprintf(rapid.SampledFrom(formats).Draw(t, "receipt"), n)
		stored := receipt.Verbatim.Normal(submit)
		if !slices.ContainsFunc(receipt.Submitted(got), func(c receipt.Candidate) bool { return c.ID == stored }) {
			t.Fatalf("%s is not among %v", stored, receipt.Submitted(got))
		}
		if !slices.Contains(receipt.Spellings(submit), receipt.Verbatim.Normal(got)) {
			t.Fatalf("%s is not among %v", got, receipt.Spellings(submit))
		}
	})
}

func TestDetectorPutsTheUsualRelationFirst(t *testing.T) {
	var d receipt.Detector
	if r, ok := d.Known(); ok {
		t.Errorf("knows %s from nothing", r)
	}
	if got := d.Submitted("100")[0]; got != (receipt.Candidate{ID: "100", Relation: receipt.Same}) {
		t.Errorf("first %+v", got)
	}
	d.Observe(receipt.HexToDecimal)
	if got := d.Submitted("100")[0]; got != (receipt.Candidate{ID: "64", Relation: receipt.HexToDecimal}) {
		t.Errorf("first %+v", got)
	}
	d.Observe(receipt.DecimalToHex)
	d.Observe(receipt.DecimalToHex)
	if got := d.Submitted("100"); got[0] != (receipt.Candidate{ID: "256", Relation: receipt.DecimalToHex}) || len(got) != 3 {
		t.Errorf("got %+v", got)
	}
	if r, ok := d.Known(); !ok || r != receipt.DecimalToHex {
		t.Errorf("knows %s, %v", r, ok)
	}
}

func TestParseIDFormat(t *testing.T) {
	for _, f := range []receipt.IDFormat{receipt.Verbatim, receipt.Hexadecimal, receipt.Decimal} {
		if got, err := receipt.ParseIDFormat(strings.ToUpper(f.String())); err != nil || got != f {
			t.Errorf("%s: %s, %v", f, got, err)
		}
	}
	if f, err := receipt.ParseIDFormat("octal"); err == nil {
		t.Errorf("octal is %s", f)
	}
}
