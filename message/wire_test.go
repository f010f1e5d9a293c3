package message

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type body interface{ Encode() []byte }

func decodeAny(raw []byte) (body, error) {
	switch {
	case strings.Contains(string(raw), `"failure_message"`):
		return DecodeFailure(raw)
	case strings.Contains(string(raw), `"status_event"`):
		return DecodeStatus(raw)
	case strings.Contains(string(raw), `"message_type": "event"`):
		return DecodeEvent(raw)
	}
	return Decode(raw)
}

// What Vumi put on the wire comes out as it went in, to the byte.
func TestCapturedBodiesSurvive(t *testing.T) {
	files, err := filepath.Glob("testdata/vumi/*.json")
	if err != nil || len(files) != 27 {
		t.Fatalf("want 27 captured bodies, have %d (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			raw = []byte(strings.TrimSpace(string(raw)))
			b, err := decodeAny(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(b.Encode()); got != string(raw) {
				t.Errorf("changed on the way\n got %s\nwant %s", got, raw)
			}
		})
	}
}

func BenchmarkDecodeStampEncode(b *testing.B) {
	raw, err := os.ReadFile("testdata/vumi/03-outbound-reply.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		m, err := Decode(raw)
		if err != nil {
			b.Fatal(err)
		}
		m.RoutingMetadata.Set("hops", 1)
		m.Encode()
	}
}
