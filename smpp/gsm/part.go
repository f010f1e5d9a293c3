package gsm

import (
	"cmp"
	"slices"
)

// Part is one of the short messages a long one came in, or the only one. Parts
// belong together when sender, receiver, Reference, Wide and Total are equal.
type Part struct {
	Reference    uint16
	Wide         bool // the reference has 16 bits, not 8
	Total, Seq   uint8
	HeaderLength int    // of the user data header before Payload, in octets; 0 when there was none
	Payload      []byte // without the header
}

// Multipart reports whether there are other parts.
func (p Part) Multipart() bool { return p.Total > 1 }

// ParsePart reads a payload that begins with a user data header. The header is
// returned for its other elements. With an error, from ParseHeader, the payload
// is to be kept as data.
func ParsePart(b []byte) (Part, Header, error) {
	h, n, err := ParseHeader(b)
	if err != nil {
		return Part{}, nil, err
	}
	p := Part{Total: 1, Seq: 1}
	if d, ok := h.last(IEConcat16, 4); ok && validPart(d[2], d[3]) {
		p = Part{Reference: uint16(d[0])<<8 | uint16(d[1]), Wide: true, Total: d[2], Seq: d[3]}
	} else if d, ok := h.last(IEConcat8, 3); ok && validPart(d[1], d[2]) {
		p = Part{Reference: uint16(d[0]), Total: d[1], Seq: d[2]}
	}
	p.HeaderLength, p.Payload = n, b[n:]
	return p, h, nil
}

// SARPart makes the part that SMPP's parameters sar_msg_ref_num,
// sar_total_segments and sar_segment_seqnum describe (SMPP 3.4 §5.3.2.22 to
// §5.3.2.24). It is false when they make no sense; then they are to be ignored.
func SARPart(reference uint16, total, seq uint8, payload []byte) (Part, bool) {
	if !validPart(total, seq) {
		return Part{}, false
	}
	return Part{Reference: reference, Wide: true, Total: total, Seq: seq, Payload: payload}, true
}

// validPart checks a part's numbers (3GPP TS 23.040 §9.2.3.24.1): a receiver ignores
// an element with wrong ones.
func validPart(total, seq uint8) bool { return total > 0 && seq > 0 && seq <= total }

// DecodeParts returns the text of parts in the order of their numbers. They are
// decoded together, for senders that cut within a character. Errors are those of
// Decode, with offsets in all parts.
func (e Encoding) DecodeParts(parts []Part) (string, error) {
	inOrder := slices.SortedFunc(slices.Values(parts), func(a, b Part) int { return cmp.Compare(a.Seq, b.Seq) })
	var whole []byte
	for _, p := range inOrder {
		if e.Coding == GSM7Packed {
			whole = append(whole, Unpack(p.Payload, -1, p.HeaderLength)...)
			continue
		}
		whole = append(whole, p.Payload...)
	}
	return e.text(whole)
}
