package smpp_test

import (
	"testing"

	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

// A byte order mark is no text, whichever order it says.
func TestByteOrderMark(t *testing.T) {
	for octets, want := range map[string]string{
		"\xfe\xff\x00a\x04\x16": "aЖ",
		"\xff\xfea\x00\x16\x04": "aЖ",
		"\x00a\x04\x16":         "aЖ",
	} {
		part := smpp.PartOf(&pdu.Message{DataCoding: 8, ShortMessage: []byte(octets)})
		if got, err := (smpp.Codings{}).Text([]smpp.Part{part}); err != nil || got != want {
			t.Errorf("%x is read as %q, %v", octets, got, err)
		}
	}
}

// Codings are named as Vumi's files name them, and data_coding 5, 9 and 10 mean
// what they mean to Vumi.
func TestCodingsOfVumi(t *testing.T) {
	codings, _, err := smpp.ParseCodings(map[string]string{"0": "cp1252", "4": "koi8_r"})
	if err != nil {
		t.Fatal(err)
	}
	for dataCoding, c := range map[pdu.DataCoding]struct{ octets, want string }{
		0: {"\x93\x94", "“”"}, 4: {"\xf0", "П"}, 5: {"\x1b$BF|K\\\x1b(B", "日本"}, 9: {"\x93\xfa", "日"}, 10: {"\x1b$BF|\x1b(B", "日"},
	} {
		part := smpp.PartOf(&pdu.Message{DataCoding: dataCoding, ShortMessage: []byte(c.octets)})
		if got, err := codings.Text([]smpp.Part{part}); err != nil || got != c.want {
			t.Errorf("data_coding %d: %q, %v; want %q", dataCoding, got, err, c.want)
		}
	}
}
