package pdu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// tlvHeader is the size of a parameter's tag and length, in octets.
const tlvHeader = 4

// TLV is an optional parameter (§3.2.4.1). Unknown ones are kept as they came.
type TLV struct {
	Tag   Tag
	Value []byte // at most 65,535 octets
}

// Byte makes a parameter of one octet.
func Byte(tag Tag, v uint8) TLV { return TLV{tag, []byte{v}} }

// Short makes a parameter of a two-octet integer.
func Short(tag Tag, v uint16) TLV { return TLV{tag, binary.BigEndian.AppendUint16(nil, v)} }

// Long makes a parameter of a four-octet integer.
func Long(tag Tag, v uint32) TLV { return TLV{tag, binary.BigEndian.AppendUint32(nil, v)} }

// CString makes a parameter of a NUL-terminated string.
func CString(tag Tag, v string) TLV { return TLV{tag, append([]byte(v), 0)} }

// String shows the parameter by its name and kind, payloads by their size only.
func (t TLV) String() string {
	kind, _ := t.Tag.Kind()
	switch {
	case kind == KindInteger && len(t.Value) > 0 && len(t.Value) <= 4:
		return fmt.Sprintf("%s=%d", t.Tag, bigEndian(t.Value))
	case kind == KindCString:
		return fmt.Sprintf("%s=%q", t.Tag, text(t.Value))
	case t.Tag == TagMessagePayload:
		return fmt.Sprintf("%s of %d octets", t.Tag, len(t.Value))
	}
	return fmt.Sprintf("%s=%x", t.Tag, t.Value)
}

// Check compares the value with the size §5.3.2 gives it.
func (t TLV) Check() error {
	kind, size := t.Tag.Kind()
	switch {
	case kind == KindCString && (len(t.Value) > size || bytes.IndexByte(t.Value, 0) != len(t.Value)-1):
		return &FieldError{t.Tag.String(), fmt.Sprintf("must be a string of at most %d characters and one NUL", size-1)}
	case kind == KindInteger && len(t.Value) != size,
		kind == KindOctets && size > 0 && len(t.Value) != size:
		return &FieldError{t.Tag.String(), fmt.Sprintf("has %d octets, the specification says %d", len(t.Value), size)}
	}
	return nil
}

// TLVs are the optional parameters of a PDU, in the order of the wire. A tag
// may be there more than once; the accessors take the first.
type TLVs []TLV

// Get returns a parameter's octets, and whether it is there.
func (l TLVs) Get(tag Tag) ([]byte, bool) {
	for i := range l {
		if l[i].Tag == tag {
			return l[i].Value, true
		}
	}
	return nil, false
}

// Uint returns an integer parameter of one to four octets: peers do not always
// keep to the specified size. It is false when the parameter is missing, or has
// none or more octets.
func (l TLVs) Uint(tag Tag) (uint32, bool) {
	v, ok := l.Get(tag)
	if !ok || len(v) == 0 || len(v) > 4 {
		return 0, false
	}
	return bigEndian(v), true
}

// Text returns a string parameter, up to its first NUL when there is one.
func (l TLVs) Text(tag Tag) (string, bool) {
	v, ok := l.Get(tag)
	return text(v), ok
}

// Set replaces the first parameter of the same tag, or appends t.
func (l *TLVs) Set(t TLV) {
	if i := slices.IndexFunc(*l, func(o TLV) bool { return o.Tag == t.Tag }); i >= 0 {
		(*l)[i] = t
		return
	}
	*l = append(*l, t)
}

func bigEndian(b []byte) uint32 {
	v := uint32(0)
	for _, o := range b {
		v = v<<8 | uint32(o)
	}
	return v
}

func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// parseTLVs reads parameters up to the end of b, or up to an error. Up to three NULs
// after the last one are ignored: some SMSCs pad.
func parseTLVs(b []byte) (TLVs, error) {
	var list TLVs
	if n := countTLVs(b); n > 0 {
		list = make(TLVs, 0, n)
	}
	for len(b) >= tlvHeader {
		tag, n := Tag(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[tlvHeader:]; n > len(b) {
			return list, &FieldError{fieldTLVs, fmt.Sprintf("end within %s: %d of %d octets", tag, len(b), n)}
		}
		list = append(list, TLV{tag, b[:n:n]})
		b = b[n:]
	}
	if len(bytes.Trim(b, "\x00")) > 0 {
		return list, &FieldError{fieldTLVs, fmt.Sprintf("are followed by %d octets that are none", len(b))}
	}
	return list, nil
}

func countTLVs(b []byte) int {
	n := 0
	for len(b) >= tlvHeader {
		end := tlvHeader + int(binary.BigEndian.Uint16(b[2:]))
		if end > len(b) {
			break
		}
		n++
		b = b[end:]
	}
	return n
}
