package receipt_test

import (
	"testing"

	"switchboard/smpp/receipt"
)

func BenchmarkParse(b *testing.B) {
	p := receipt.Parser{Statuses: receipt.DefaultStatusMap()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse(nil, "id:0123456789 sub:001 dlvrd:001 submit date:1312312359 done date:1401010001 stat:DELIVRD err:000 text:Hello World"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSubmitted(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		receipt.Submitted("12345678")
	}
}
