package pdu

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

const (
	// DefaultMaxLength is the longest PDU a Reader takes unless told otherwise,
	// in octets: a message_payload of 65,535 (§5.3.2.32) and room for
	// the addresses and other parameters beside it.
	DefaultMaxLength = 80 << 10
	// maxDiscard is the longest oversized PDU a Reader skips to keep the link.
	maxDiscard = 1 << 20
	// readBuffer is the size of a Reader's buffer: some twenty submit_sm.
	readBuffer = 4 << 10
)

// Reader reads PDUs from a stream. It is not safe for concurrent use.
type Reader struct {
	r   *bufio.Reader
	max uint32
}

// NewReader returns a Reader that takes PDUs of at most maxLength octets;
// zero stands for DefaultMaxLength.
func NewReader(r io.Reader, maxLength int) *Reader {
	if maxLength <= 0 {
		maxLength = DefaultMaxLength
	}
	return &Reader{r: bufio.NewReaderSize(r, readBuffer), max: uint32(max(maxLength, HeaderLength))}
}

// Read returns the next PDU, which shares no memory with the Reader.
//
// The error is io.EOF when the stream ended between two PDUs; an *Error when
// what came is no valid PDU (its KeepLink says whether to go on reading, its
// Answer what to send); otherwise the stream's own error, wrapped, and when that
// was a timeout Read may be called again: nothing has been lost.
func (r *Reader) Read() (*PDU, error) {
	h, err := r.header()
	if err != nil {
		return nil, err
	}
	if h.Length > r.max {
		return nil, r.oversized(h)
	}
	_, _ = r.r.Discard(HeaderLength) // peeked, so it cannot fail
	body := make([]byte, h.Length-HeaderLength)
	if n, err := io.ReadFull(r.r, body); err != nil {
		return nil, &Error{
			Kind: Truncated, Header: h, lost: true,
			err: fmt.Errorf("%d of %d octets: %w", HeaderLength+n, h.Length, noEOF(err)),
		}
	}
	return decodeBody(h, body)
}

// header peeks the next header, without consuming it. The length is judged as
// soon as it is there: a peer that is no SMPP need not send 16 octets.
func (r *Reader) header() (Header, error) {
	b, err := r.peek(4)
	if err != nil {
		return Header{}, err
	}
	length := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	if length < HeaderLength {
		return Header{}, &Error{
			Kind: Garbage, lost: true,
			err: fmt.Errorf("a length of %d octets is shorter than a header", length),
		}
	}
	if b, err = r.peek(HeaderLength); err != nil {
		return Header{}, err
	}
	return parseHeader(b), nil
}

func (r *Reader) peek(n int) ([]byte, error) {
	b, err := r.r.Peek(n)
	switch {
	case err == nil:
		return b, nil
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("reading PDU header: %w", err)
	case len(b) == 0:
		return nil, io.EOF
	}
	return nil, &Error{
		Kind: Truncated, lost: true,
		err: fmt.Errorf("%d octets of a header: %w", len(b), io.ErrUnexpectedEOF),
	}
}

// oversized skips a long PDU of a known command. A long PDU of an unknown
// command is taken for something that is not SMPP at all.
func (r *Reader) oversized(h Header) error {
	if !h.Command.Known() {
		return &Error{Kind: Garbage, Header: h, lost: true}
	}
	e := &Error{Kind: Oversized, Header: h, err: fmt.Errorf("at most %d octets are taken", r.max)}
	if h.Length > maxDiscard {
		e.lost = true
		return e
	}
	if n, err := r.r.Discard(int(h.Length)); err != nil {
		e.lost, e.Kind = true, Truncated
		e.err = fmt.Errorf("%d of %d octets: %w", n, h.Length, noEOF(err))
	}
	return e
}

// noEOF keeps io.EOF for the end between two PDUs.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
