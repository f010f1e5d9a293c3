package receipt_test

import (
	"errors"
	"slices"
	"testing"

	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte("9f\x00"), []byte{2}, "id:0123456789 sub:001 dlvrd:001 submit date:1312312359 done date:1401010001 stat:DELIVRD err:000 text:Hello")
	f.Add([]byte{}, []byte{}, "ID = 7, Status: x Message ID:")
	f.Fuzz(func(t *testing.T, id, state []byte, text string) {
		tlvs := pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: id}, {Tag: pdu.TagMessageState, Value: state}}
		r, err := receipt.Parser{}.Parse(tlvs, text)
		if err != nil {
			if !errors.Is(err, receipt.ErrNoReceipt) {
				t.Fatal(err)
			}
			return
		}
		if r.ID == "" || r.RawStatus == "" || r.Sub < -1 || r.Dlvrd < -1 {
			t.Fatalf("%+v", r)
		}
		if _, err := receipt.ParseStatus(string(r.Status)); err != nil {
			t.Fatal(err)
		}
	})
}

// The two ways of matching agree, and a spelling once normal stays so.
func FuzzID(f *testing.F) {
	f.Add("00BC614E", "12345678")
	f.Add("0x", "+1_0")
	f.Fuzz(func(t *testing.T, submit, got string) {
		for _, format := range []receipt.IDFormat{receipt.Verbatim, receipt.Decimal} {
			if n := format.Normal(submit); format.Normal(n) != n && len(n) < 60 {
				t.Fatalf("%q, then %q", n, format.Normal(n))
			}
		}
		stored, asked := receipt.Verbatim.Normal(submit), receipt.Verbatim.Normal(got)
		forth := slices.ContainsFunc(receipt.Submitted(got), func(c receipt.Candidate) bool { return c.ID == stored })
		if back := slices.Contains(receipt.Spellings(submit), asked); forth != back && len(stored) < 30 && len(asked) < 30 {
			t.Fatalf("%q and %q match one way only", submit, got)
		}
	})
}
