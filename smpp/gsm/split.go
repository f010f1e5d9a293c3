package gsm

import (
	"errors"
	"fmt"
	"slices"
)

// Splitter says how texts may be written and cut. The zero value takes GSM 03.38
// without national tables where it carries the text, else UCS2, and cuts with
// 8-bit references.
type Splitter struct {
	Codings   []Coding   // the one that needs fewest segments is taken, the first of equals
	Languages []Language // whose tables may be used besides the default ones
	Method    Method
}

// Segment is one short message.
type Segment struct {
	Part          // Reference as given; Payload as it goes behind the header
	Header []byte // the user data header, nil when there is none; then esm_class has no UDHI
}

// Octets returns header and payload, as they go into short_message.
func (s Segment) Octets() []byte {
	if len(s.Header) == 0 {
		return s.Payload
	}
	return append(append(make([]byte, 0, len(s.Header)+len(s.Payload)), s.Header...), s.Payload...)
}

// Message is a text as it goes out.
type Message struct {
	Encoding
	Method   Method
	Segments []Segment // at least one
}

// TooLongError is a text that needs more segments than can be numbered, or more
// octets than message_payload holds.
type TooLongError struct {
	Segments, Octets int
}

// Error says how long it is, and what can be.
func (e *TooLongError) Error() string {
	if e.Segments > 0 {
		return fmt.Sprintf("the text needs %d segments; there can be %d", e.Segments, MaxSegments)
	}
	return fmt.Sprintf("the text has %d octets; message_payload holds %d", e.Octets, MaxPayload)
}

// Text writes a text: in the cheapest coding that carries it, the one that needs
// fewest segments. Reference tells it from other texts to the same person; UDH8
// and SAR use its lower 8 bits. Extra are further elements for every
// segment's header. The error is an *EncodeError (the last coding's) when no coding
// carries the text, or a *TooLongError.
func (s Splitter) Text(text string, reference uint16, extra ...Element) (Message, error) {
	var best Message
	var problem error
	for _, e := range s.encodings() {
		m, err := s.encode(e, text, reference, extra)
		if err != nil {
			problem = worse(problem, err)
			continue
		}
		if best.Segments == nil || len(m.Segments) < len(best.Segments) {
			best = m
		}
		if len(best.Segments) == 1 {
			break
		}
	}
	if best.Segments == nil {
		return Message{}, problem
	}
	return best, nil
}

func (s Splitter) encode(e Encoding, text string, reference uint16, extra []Element) (Message, error) {
	units, err := e.units(text)
	if err != nil {
		return Message{}, err
	}
	return s.split(e, units, reference, extra)
}

// worse prefers, of two reasons why no coding will do, the one another coding
// could not mend: a text that is too long.
func worse(a, b error) error {
	if _, ok := errors.AsType[*TooLongError](a); ok {
		return a
	}
	return b
}

// Data cuts octets that are no text, 140 a segment or 134, 133 of several.
func (s Splitter) Data(b []byte, reference uint16, extra ...Element) (Message, error) {
	return s.split(Encoding{Coding: Octets}, b, reference, extra)
}

// encodings lists what may be tried: each coding, and septets also with the
// tables of each language, fewer tables first.
func (s Splitter) encodings() (list []Encoding) {
	codings := s.Codings
	if len(codings) == 0 {
		codings = []Coding{GSM7, UCS2}
	}
	for _, c := range codings {
		list = append(list, Encoding{Coding: c})
		if c != GSM7 && c != GSM7Packed {
			continue
		}
		for _, l := range s.Languages {
			list = append(list, Encoding{c, Shift{Single: l}}, Encoding{c, Shift{Locking: l}}, Encoding{c, Shift{l, l}})
		}
	}
	return list
}

func (s Splitter) split(e Encoding, units []byte, reference uint16, extra []Element) (Message, error) {
	base := append(e.Shift.elements(), extra...)
	m := Message{Encoding: e, Method: s.Method}
	if s.Method == UDH8 || s.Method == SAR {
		reference &= 0xFF
	}
	single := e.Coding.room(base.Length())
	if s.Method == Payload {
		single = MaxPayload - base.Length()
	}
	if whole := e.Coding.reach(units, 0, single) == len(units); whole || s.Method == Payload {
		if !whole {
			return Message{}, &TooLongError{Octets: len(units)}
		}
		seg, err := s.segment(e, base, Part{Total: 1, Seq: 1}, units)
		m.Segments = []Segment{seg}
		return m, err
	}
	header := s.header(base, Part{}).Length()
	room := e.Coding.room(base.Length() + s.partLength(base))
	if room < minimumRoom {
		return Message{}, errNoRoom
	}
	ends := e.Coding.cut(units, room, header)
	if len(ends) > MaxSegments {
		return Message{}, &TooLongError{Segments: len(ends)}
	}
	m.Segments = make([]Segment, len(ends))
	start := 0
	for i, end := range ends {
		p := Part{Reference: reference, Wide: s.Method == UDH16 || s.Method == SAR16, Total: uint8(len(ends)), Seq: uint8(i + 1)}
		var err error
		if m.Segments[i], err = s.segment(e, base, p, units[start:end]); err != nil {
			return Message{}, err
		}
		start = end
	}
	return m, nil
}

// minimumRoom is the room that any one character needs.
const minimumRoom = 4

var errNoRoom = errors.New("the user data header leaves no room for text")

// partLength is what the method's element adds to a header.
func (s Splitter) partLength(base Header) int {
	with := append(slices.Clip(base), s.Method.element(Part{})...)
	return with.Length() - base.Length()
}

// header is what a segment of several is written with.
func (s Splitter) header(base Header, p Part) Header {
	if !s.Method.writesHeader() {
		return base
	}
	return append(s.Method.element(p), base...)
}

func (s Splitter) segment(e Encoding, base Header, p Part, units []byte) (Segment, error) {
	h := base
	if p.Multipart() {
		h = s.header(base, p)
	}
	octets, err := h.Append(nil)
	if err != nil {
		return Segment{}, err
	}
	p.HeaderLength, p.Payload = len(octets), units
	if e.Coding == GSM7Packed {
		p.Payload = AppendPacked(nil, units, len(octets))
	}
	return Segment{Part: p, Header: octets}, nil
}
