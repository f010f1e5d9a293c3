package gsm_test

import (
	"strings"
	"testing"

	"switchboard/smpp/gsm"
)

func BenchmarkText(b *testing.B) {
	for name, text := range map[string]string{
		"gsm/1":  strings.Repeat("hello € ", 17),
		"gsm/4":  strings.Repeat("hello all", 60),
		"ucs2/1": strings.Repeat("привет ", 10),
		"ucs2/4": strings.Repeat("привет ", 38),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (gsm.Splitter{}).Text(text, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, e := range map[string]gsm.Encoding{
		"gsm": {Coding: gsm.GSM7}, "packed": {Coding: gsm.GSM7Packed}, "ucs2": {Coding: gsm.UCS2},
	} {
		b.Run(name, func(b *testing.B) {
			octets, err := e.Encode(strings.Repeat("hello ", 11))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Decode(octets, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
