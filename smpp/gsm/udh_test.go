package gsm_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"switchboard/smpp/gsm"
)

func TestParsePart(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		want gsm.Part
	}{
		"8-bit reference":                      {"050003ff0302" + "41", gsm.Part{Reference: 0xFF, Total: 3, Seq: 2, HeaderLength: 6, Payload: []byte("A")}},
		"16-bit reference":                     {"060804abcd0302" + "41", gsm.Part{Reference: 0xABCD, Wide: true, Total: 3, Seq: 2, HeaderLength: 7, Payload: []byte("A")}},
		"beside other elements":                {"0b0504158200000003010201" + "41", gsm.Part{Reference: 1, Total: 2, Seq: 1, HeaderLength: 12, Payload: []byte("A")}},
		"twice: the last counts":               {"0a000301020100030202024142", gsm.Part{Reference: 2, Total: 2, Seq: 2, HeaderLength: 11, Payload: []byte("AB")}},
		"part 0 is no part":                    {"050003ff0300" + "41", gsm.Part{Total: 1, Seq: 1, HeaderLength: 6, Payload: []byte("A")}},
		"part 4 of 3 is no part":               {"050003ff0304" + "41", gsm.Part{Total: 1, Seq: 1, HeaderLength: 6, Payload: []byte("A")}},
		"an element of wrong length is passed": {"040002ff03" + "41", gsm.Part{Total: 1, Seq: 1, HeaderLength: 5, Payload: []byte("A")}},
		"an empty header":                      {"00" + "41", gsm.Part{Total: 1, Seq: 1, HeaderLength: 1, Payload: []byte("A")}},
		"no payload":                           {"050003ff0302", gsm.Part{Reference: 0xFF, Total: 3, Seq: 2, HeaderLength: 6}},
	} {
		got, _, err := gsm.ParsePart(unhex(t, test.in))
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for name, in := range map[string]string{
		"nothing": "", "longer than the payload": "050003ff03", "an element past the header": "050004ff030241", "half an element": "0100",
	} {
		if got, _, err := gsm.ParsePart(unhex(t, in)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSARPart(t *testing.T) {
	if p, ok := gsm.SARPart(513, 3, 2, []byte("A")); !ok || p.Reference != 513 || p.Total != 3 || p.Seq != 2 || !p.Multipart() {
		t.Errorf("%+v, %v", p, ok)
	}
	for _, bad := range [][2]uint8{{0, 0}, {0, 1}, {3, 0}, {3, 4}} {
		if p, ok := gsm.SARPart(1, bad[0], bad[1], nil); ok {
			t.Errorf("%v: %+v", bad, p)
		}
	}
}

// Some senders cut UCS2 by octets.
func TestTextCutWithinACharacterIsRead(t *testing.T) {
	parts := []gsm.Part{{Seq: 2, Total: 2, Payload: unhex(t, "3dde00")}, {Seq: 1, Total: 2, Payload: unhex(t, "0041d8")}}
	if got, err := (gsm.Encoding{Coding: gsm.UCS2}).DecodeParts(parts); err != nil || got != "A😀" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want gsm.Header
		for range rapid.IntRange(1, 5).Draw(t, "elements") {
			want = append(want, gsm.Element{ID: rapid.Byte().Draw(t, "id"), Data: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data")})
		}
		b, err := want.Append(nil)
		if err != nil || len(b) != want.Length() {
			t.Fatalf("%x, %v", b, err)
		}
		got, n, err := gsm.ParseHeader(append(b, "text"...))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || n != len(b) || diff != "" {
			t.Fatalf("%d octets, %v\n%s", n, err, diff)
		}
	})
}

func TestPackingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.ByteRange(0, 127), 0, 170).Draw(t, "septets")
		header := rapid.IntRange(0, 20).Draw(t, "header")
		packed := gsm.AppendPacked([]byte("before"), want, header)[len("before"):]
		if got := gsm.Unpack(packed, len(want), header); !bytes.Equal(got, want) {
			t.Fatalf("%x is packed as %x, read as %x", want, packed, got)
		}
		got := gsm.Unpack(packed, -1, header)
		for _, filling := range []byte{0, '\r'} {
			if bytes.Equal(append(bytes.Clone(got), filling), want) {
				return
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%x is packed as %x, read as %x", want, packed, got)
		}
	})
}
