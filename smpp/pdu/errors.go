package pdu

import (
	"errors"
	"fmt"
)

// Kind says what was wrong with a PDU that could not be read.
type Kind uint8

// The kinds of Error.
const (
	// Garbage is no SMPP: a length no PDU can have. Where the next PDU begins
	// is not known.
	Garbage Kind = iota + 1
	// Truncated is a PDU of which the last octets never came.
	Truncated
	// Oversized is a PDU of a known command that is longer than allowed.
	Oversized
	// UnknownCommand is a well-framed PDU whose command this package does not
	// know.
	UnknownCommand
	// Malformed is a well-framed PDU whose fields do not fit its length.
	Malformed
)

// String names the kind in a word or two.
func (k Kind) String() string {
	switch k {
	case Garbage:
		return "not SMPP"
	case Truncated:
		return "truncated PDU"
	case Oversized:
		return "oversized PDU"
	case UnknownCommand:
		return "unknown command"
	case Malformed:
		return "malformed PDU"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error is a PDU that could not be read.
type Error struct {
	Kind   Kind
	Header Header // as far as it came; its Sequence is only known when HasSequence

	lost bool // the stream is not at the beginning of a PDU any more
	err  error
}

// Error says what came, and why it could not be read.
func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Header.Length != 0 {
		s += fmt.Sprintf(": %s, sequence %d, length %d", e.Header.Command, e.Header.Sequence, e.Header.Length)
	}
	if e.err != nil {
		s += ": " + e.err.Error()
	}
	return s
}

// Unwrap returns the cause: a *FieldError, or the error of the stream.
func (e *Error) Unwrap() error { return e.err }

// HasSequence reports whether the header was read and can be trusted.
func (e *Error) HasSequence() bool {
	return e.Header.Length != 0 && e.Kind != Garbage
}

// KeepLink reports whether the next PDU can still be read. When it cannot, the
// link is to be dropped, after sending Answer when there is one.
func (e *Error) KeepLink() bool {
	return e.Kind != Garbage && e.Kind != Truncated && !e.lost
}

// Answer returns what the peer should be sent, or nil when nothing should:
// never an answer to a response, nor to what was cut off. A PDU of unknown
// command or impossible length gets a generic_nack (§4.3), with sequence 0 when
// its own is not known; a known request gets its own response.
func (e *Error) Answer() *PDU {
	h := e.Header
	switch e.Kind {
	case Garbage:
		return &PDU{Status: StatusInvCmdLen, Body: new(GenericNack)}
	case UnknownCommand:
		if h.Command.IsResponse() {
			return nil
		}
		return &PDU{Status: StatusInvCmdID, Sequence: h.Sequence, Body: new(GenericNack)}
	case Oversized, Malformed:
		if h.Command.IsResponse() {
			return nil
		}
		request := PDU{Sequence: h.Sequence, Body: newBody(h.Command)}
		return request.Respond(e.status())
	}
	return nil
}

// status is the command_status that tells the peer what was wrong.
func (e *Error) status() Status {
	var field *FieldError
	if e.Kind == Malformed && errors.As(e.err, &field) && field.Field == fieldTLVs {
		return StatusInvOptParStream
	}
	return StatusInvCmdLen
}

// FieldError is a field whose value cannot be read, or be written.
type FieldError struct {
	Field   string // the specification's name, "short_message"
	Problem string
}

// Error says which field, and what is wrong with it.
func (e *FieldError) Error() string { return e.Field + " " + e.Problem }
