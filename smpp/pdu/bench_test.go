package pdu_test

import (
	"bytes"
	"testing"

	"switchboard/smpp/pdu"
)

func BenchmarkAppend(b *testing.B) {
	for _, name := range []string{"submit_sm", "submit_sm_resp"} {
		b.Run(name, func(b *testing.B) {
			p, buf := samples()[name], make([]byte, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.AppendTo(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"submit_sm", "submit_sm_resp", "deliver_sm_receipt"} {
		b.Run(name, func(b *testing.B) {
			octets := vectors(b)[name]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pdu.Decode(octets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	octets := vectors(b)["submit_sm"]
	stream := bytes.NewReader(octets)
	r := pdu.NewReader(stream, 0)
	b.ReportAllocs()
	for b.Loop() {
		stream.Reset(octets)
		if _, err := r.Read(); err != nil {
			b.Fatal(err)
		}
	}
}
