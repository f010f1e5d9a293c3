package pdu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// fieldTLVs is the name of the optional parameters in errors.
const fieldTLVs = "optional parameters"

// codec walks a body's fields. Each body lists its fields once, for writing,
// reading and checking alike. Names are the specification's; max counts octets,
// for strings the final NUL included.
type codec interface {
	u8(name string, v *uint8)
	u32(name string, v *uint32)
	cstring(name string, v *string, max int)
	time(name string, v *string)
	octets(name string, v *[]byte, max int) // preceded by a length octet
	count(name string, n int) int           // how many entries of a list follow
	tlvs(v *TLVs)                           // always last
}

// encoder appends fields to b.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) fail(field, format string, args ...any) {
	if e.err == nil {
		e.err = &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
}

func (e *encoder) u8(_ string, v *uint8) { e.b = append(e.b, *v) }

func (e *encoder) u32(_ string, v *uint32) { e.b = binary.BigEndian.AppendUint32(e.b, *v) }

func (e *encoder) cstring(name string, v *string, _ int) {
	if strings.IndexByte(*v, 0) >= 0 {
		e.fail(name, "contains a NUL, which would end it")
	}
	e.b = append(append(e.b, *v...), 0)
}

func (e *encoder) time(name string, v *string) { e.cstring(name, v, 0) }

func (e *encoder) octets(name string, v *[]byte, _ int) {
	if len(*v) > 0xFF {
		e.fail(name, "has %d octets; its length field counts to 255: use message_payload", len(*v))
		return
	}
	e.b = append(append(e.b, byte(len(*v))), *v...)
}

func (e *encoder) count(name string, n int) int {
	if n > 0xFF {
		e.fail(name, "is %d, more than the 255 one octet can count", n)
	}
	e.b = append(e.b, byte(n))
	return n
}

func (e *encoder) tlvs(v *TLVs) {
	for _, t := range *v {
		if len(t.Value) > 0xFFFF {
			e.fail(t.Tag.String(), "has %d octets; its length field counts to 65535", len(t.Value))
			return
		}
		e.b = binary.BigEndian.AppendUint16(e.b, uint16(t.Tag))
		e.b = binary.BigEndian.AppendUint16(e.b, uint16(len(t.Value)))
		e.b = append(e.b, t.Value...)
	}
}

// decoder takes fields from the front of b; after the first error it does
// nothing. A lenient one accepts a body that ends early or in octets that are no
// parameter: SMPP 3.3 and some SMSCs cut responses short or pad them.
type decoder struct {
	b       []byte
	lenient bool
	err     error
}

// take returns the next n octets, or nil when there are not as many.
func (d *decoder) take(name string, n int) []byte {
	if d.err != nil {
		return nil
	}
	if len(d.b) < n {
		if !d.lenient || len(d.b) > 0 {
			d.err = &FieldError{name, fmt.Sprintf("needs %d octets, %d are left", n, len(d.b))}
		}
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8(name string, v *uint8) {
	if b := d.take(name, 1); b != nil {
		*v = b[0]
	}
}

func (d *decoder) u32(name string, v *uint32) {
	if b := d.take(name, 4); b != nil {
		*v = binary.BigEndian.Uint32(b)
	}
}

func (d *decoder) cstring(name string, v *string, _ int) {
	if d.err != nil {
		return
	}
	end := bytes.IndexByte(d.b, 0)
	switch {
	case end >= 0:
		*v = string(d.b[:end])
		d.b = d.b[end+1:]
	case d.lenient:
		*v = string(d.b)
		d.b = nil
	default:
		d.err = &FieldError{name, "has no NUL at its end"}
	}
}

func (d *decoder) time(name string, v *string) { d.cstring(name, v, 0) }

func (d *decoder) octets(name string, v *[]byte, _ int) {
	n := uint8(0)
	d.u8(name, &n)
	if b := d.take(name, int(n)); len(b) > 0 {
		*v = b
	}
}

func (d *decoder) count(name string, _ int) int {
	n := uint8(0)
	d.u8(name, &n)
	if d.err != nil {
		return 0
	}
	return int(n)
}

func (d *decoder) tlvs(v *TLVs) {
	if d.err != nil {
		return
	}
	var err error
	if *v, err = parseTLVs(d.b); err != nil && !d.lenient {
		d.err = err
	}
}

// checker compares fields with the specification's limits.
type checker struct{ err error }

func (c *checker) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
}

func (c *checker) u8(string, *uint8) {}

func (c *checker) u32(string, *uint32) {}

func (c *checker) cstring(name string, v *string, max int) {
	if len(*v) >= max {
		c.fail(name, "has %d characters, the specification allows %d", len(*v), max-1)
	}
	if strings.IndexByte(*v, 0) >= 0 {
		c.fail(name, "contains a NUL, which would end it")
	}
}

func (c *checker) time(name string, v *string) {
	if *v == "" {
		return
	}
	if _, err := ParseTime(*v); err != nil || len(*v) != timeLength {
		c.fail(name, "is %q, which is no time as §7.1.1 defines it (YYMMDDhhmmsstnnp)", *v)
	}
}

func (c *checker) octets(name string, v *[]byte, max int) {
	if len(*v) > max {
		c.fail(name, "has %d octets, the specification allows %d", len(*v), max)
	}
}

func (c *checker) count(name string, n int) int {
	if n > maxDests {
		c.fail(name, "is %d, the specification allows %d", n, maxDests)
	}
	return n
}

func (c *checker) tlvs(v *TLVs) {
	for _, t := range *v {
		if err := t.Check(); err != nil && c.err == nil {
			c.err = err
		}
	}
}
