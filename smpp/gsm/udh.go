package gsm

import "slices"

import "fmt"

// Information element identifiers (3GPP TS 23.040 §9.2.3.24).
const (
	IEConcat8  = 0x00
	IEPorts8   = 0x04
	IEPorts16  = 0x05
	IEConcat16 = 0x08
	IESingle   = 0x24 // national language single shift
	IELocking  = 0x25 // national language locking shift
)

// MaxHeader is the most octets a header can have, its length octet included:
// those of a short message.
const MaxHeader = 140

// Element is one information element of a user data header.
type Element struct {
	ID   byte
	Data []byte
}

// Header is a user data header. Elements that are not known are kept.
type Header []Element

// ParseHeader reads the header at the beginning of a payload and returns it with
// the number of octets it takes, its length octet included. The elements' data
// are slices of b. The error says that the payload is too short, or the elements
// do not fill the header; then nothing in it can be trusted.
func ParseHeader(b []byte) (h Header, length int, err error) {
	if len(b) == 0 {
		return nil, 0, fmt.Errorf("reading user data header: the payload is empty")
	}
	length = 1 + int(b[0])
	if length > len(b) {
		return nil, 0, fmt.Errorf("reading user data header: it has %d octets, the payload %d", length, len(b))
	}
	for rest := b[1:length]; len(rest) > 0; {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return nil, 0, fmt.Errorf("reading user data header: element 0x%02X does not end within it", rest[0])
		}
		end := 2 + int(rest[1])
		h = append(h, Element{ID: rest[0], Data: rest[2:end:end]})
		rest = rest[end:]
	}
	return h, length, nil
}

// Length returns the number of octets the header takes, its length octet
// included; 0 when it has no elements.
func (h Header) Length() int {
	if len(h) == 0 {
		return 0
	}
	n := 1
	for _, e := range h {
		n += 2 + len(e.Data)
	}
	return n
}

// Append appends the header's octets, none when it has no elements. It fails
// when there are more than MaxHeader.
func (h Header) Append(b []byte) ([]byte, error) {
	n := h.Length()
	if n == 0 {
		return b, nil
	}
	if n > MaxHeader {
		return b, fmt.Errorf("writing user data header: it has %d octets, more than the %d of a short message", n, MaxHeader)
	}
	b = append(b, byte(n-1))
	for _, e := range h {
		b = append(append(b, e.ID, byte(len(e.Data))), e.Data...)
	}
	return b, nil
}

// last returns the data of the last element of an id with that many octets: a
// receiver ignores earlier ones, and those of another size (§9.2.3.24).
func (h Header) last(id byte, size int) ([]byte, bool) {
	for _, v := range slices.Backward(h) {
		if v.ID == id && len(v.Data) == size {
			return v.Data, true
		}
	}
	return nil, false
}

// Shift returns the national language tables the header names (§9.2.3.24.15,
// §9.2.3.24.16).
func (h Header) Shift() (s Shift) {
	if d, ok := h.last(IELocking, 1); ok {
		s.Locking = Language(d[0])
	}
	if d, ok := h.last(IESingle, 1); ok {
		s.Single = Language(d[0])
	}
	return s
}

// Ports returns the application ports (§9.2.3.24.3, §9.2.3.24.4), and whether
// the header has any.
func (h Header) Ports() (destination, source uint16, ok bool) {
	if d, ok := h.last(IEPorts16, 4); ok {
		return uint16(d[0])<<8 | uint16(d[1]), uint16(d[2])<<8 | uint16(d[3]), true
	}
	if d, ok := h.last(IEPorts8, 2); ok {
		return uint16(d[0]), uint16(d[1]), true
	}
	return 0, 0, false
}

// Ports16 makes the element that addresses application ports (§9.2.3.24.4).
func Ports16(destination, source uint16) Element {
	return Element{IEPorts16, []byte{byte(destination >> 8), byte(destination), byte(source >> 8), byte(source)}}
}

// elements makes the elements a reader needs to know the tables.
func (s Shift) elements() (h Header) {
	if s.Locking != Default {
		h = append(h, Element{IELocking, []byte{byte(s.Locking)}})
	}
	if s.Single != Default {
		h = append(h, Element{IESingle, []byte{byte(s.Single)}})
	}
	return h
}
