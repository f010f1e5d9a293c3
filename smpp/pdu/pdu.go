package pdu

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// HeaderLength is the size of a PDU's header in octets (§3.2).
	HeaderLength = 16
	// MaxSequence is the highest sequence_number a request may have; the first
	// is 1 (§5.1.4).
	MaxSequence uint32 = 0x7FFFFFFF
)

// PDU is one SMPP protocol data unit (§3.2): what a header says beside its
// length and command, and the command's body.
type PDU struct {
	Status   Status // zero in requests
	Sequence uint32 // a response repeats its request's
	Body     Body
}

// Body is what follows the header. Its implementations are the pointer types of
// this package, one for each command, and no others:
//   - Command says which command the body belongs to;
//   - fields walks every field in the order of the wire.
type Body interface {
	Command() CommandID
	fields(c codec)
}

// Command returns the command of the PDU's body.
func (p *PDU) Command() CommandID { return p.Body.Command() }

// String names the PDU without its content: contents and passwords do not
// belong into logs.
func (p *PDU) String() string {
	if p.Command().IsResponse() {
		return fmt.Sprintf("%s %d %s", p.Command(), p.Sequence, p.Status)
	}
	return fmt.Sprintf("%s %d", p.Command(), p.Sequence)
}

// Respond returns the answer to a request with an empty body, to be filled in
// where the command has one. For a request that has no response of its own it
// is a generic_nack (§4.3).
func (p *PDU) Respond(status Status) *PDU {
	return &PDU{Status: status, Sequence: p.Sequence, Body: newBody(p.Command().Response())}
}

// AppendTo appends the encoded PDU to b and returns the longer slice. It fails
// with a *FieldError, and returns b as it was, when a field holds what the wire
// cannot carry: a NUL within a string, or more octets than its length field can
// count. Longer strings than the specification allows are written.
//
// A response with a failing status and an empty body is written without the
// body, as §4.4.2 demands.
func (p *PDU) AppendTo(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, HeaderLength)...)
	if raw, is := p.Body.(*Raw); is {
		b = append(b, raw.Data...)
	} else if !p.omitsBody() {
		e := encoder{b: b}
		p.Body.fields(&e)
		if e.err != nil {
			return b[:start], fmt.Errorf("encoding %s %d: %w", p.Command(), p.Sequence, e.err)
		}
		b = e.b
	}
	header := b[start:]
	binary.BigEndian.PutUint32(header, uint32(len(header)))
	binary.BigEndian.PutUint32(header[4:], uint32(p.Command()))
	binary.BigEndian.PutUint32(header[8:], uint32(p.Status))
	binary.BigEndian.PutUint32(header[12:], p.Sequence)
	return b, nil
}

// WriteTo writes the encoded PDU with one Write. Nothing is written when it
// cannot be encoded.
func (p *PDU) WriteTo(w io.Writer) (int64, error) {
	b, err := p.AppendTo(nil)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	if err != nil {
		return int64(n), fmt.Errorf("writing %s %d: %w", p.Command(), p.Sequence, err)
	}
	return int64(n), nil
}

// Validate says what a strict peer would refuse: the first field that is longer
// than the specification allows, a time that is none (§7.1.1), a parameter of
// the wrong size (§5.3.2). The error is a *FieldError.
func (p *PDU) Validate() error {
	var c checker
	p.Body.fields(&c)
	if c.err != nil {
		return fmt.Errorf("checking %s %d: %w", p.Command(), p.Sequence, c.err)
	}
	return nil
}

func (p *PDU) omitsBody() bool {
	if p.Status == StatusOK || !p.Command().IsResponse() {
		return false
	}
	switch b := p.Body.(type) {
	case *BindResp:
		return b.SystemID == "" && len(b.TLVs) == 0
	case *SubmitSMResp:
		return b.MessageID == "" && len(b.TLVs) == 0
	}
	return false
}

// Decode reads one whole PDU, header and body, from b. The PDU's octet fields
// and parameters are slices of b; its strings are copies. The error is an
// *Error, as with Reader.Read.
func Decode(b []byte) (*PDU, error) {
	if len(b) < HeaderLength {
		return nil, &Error{Kind: Truncated, err: fmt.Errorf("%d of at least %d octets", len(b), HeaderLength)}
	}
	h := parseHeader(b)
	switch {
	case h.Length < HeaderLength:
		return nil, &Error{Kind: Garbage, Header: h}
	case int64(h.Length) > int64(len(b)):
		return nil, &Error{Kind: Truncated, Header: h, err: fmt.Errorf("%d of %d octets", len(b), h.Length)}
	}
	return decodeBody(h, b[HeaderLength:h.Length])
}

// Header is a PDU's header (§3.2) as it came.
type Header struct {
	Length   uint32 // of the whole PDU, in octets
	Command  CommandID
	Status   Status
	Sequence uint32
}

func parseHeader(b []byte) Header {
	return Header{
		Length:   binary.BigEndian.Uint32(b),
		Command:  CommandID(binary.BigEndian.Uint32(b[4:])),
		Status:   Status(binary.BigEndian.Uint32(b[8:])),
		Sequence: binary.BigEndian.Uint32(b[12:]),
	}
}

func decodeBody(h Header, b []byte) (*PDU, error) {
	body := newBody(h.Command)
	if body == nil {
		return nil, &Error{Kind: UnknownCommand, Header: h}
	}
	p := &PDU{Status: h.Status, Sequence: h.Sequence, Body: body}
	if len(b) == 0 && h.Command.IsResponse() {
		return p, nil
	}
	d := decoder{b: b, lenient: h.Command.IsResponse()}
	body.fields(&d)
	if d.err != nil {
		return nil, &Error{Kind: Malformed, Header: h, err: d.err}
	}
	return p, nil
}
