package xmpp

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxStanza is the largest stanza that is read, in bytes: a roster of 10,000
	// people is one.
	maxStanza = 8 << 20
	// maxUnknown is the largest while the other side has not proven who it is.
	maxUnknown = 64 << 10
	// maxDepth is how deep the elements of a stanza may nest.
	maxDepth   = 100
	readBuffer = 64 << 10
)

var (
	errTooLarge = errors.New("a stanza is too large to be read")
	errTooDeep  = fmt.Errorf("a stanza nests deeper than %d elements", maxDepth)
	// RFC 6120 §11.1 forbids them; a document type could define entities.
	errForbidden = errors.New("the stream has a comment, a processing instruction or a document type")
	errNoStream  = errors.New("the other side speaks no XMPP: its first element is no stream")
)

// reader reads the elements of a stream one by one.
type reader struct {
	input *bounded
	xml   *xml.Decoder
	limit int // of an element, in bytes
}

// bounded fails when an element has more bytes than left. It reads byte by byte, so
// that nothing is read past an element.
type bounded struct {
	from *bufio.Reader
	left int
}

func (b *bounded) ReadByte() (byte, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	b.left--
	return b.from.ReadByte()
}

func (b *bounded) Read(p []byte) (int, error) { return b.from.Read(p) }

func newReader(from io.Reader) *reader {
	r := &reader{input: &bounded{from: bufio.NewReaderSize(from, readBuffer)}, limit: maxUnknown}
	r.restart()
	return r
}

// restart reads a new stream on the same connection.
func (r *reader) restart() {
	r.xml = xml.NewDecoder(r.input)
	r.xml.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("the stream is in %s, not UTF-8", charset)
	}
}

// buffered is how much was received and not read.
func (r *reader) buffered() int { return r.input.from.Buffered() }

// header reads the begin of a stream.
func (r *reader) header() (*Element, error) {
	r.input.left = r.limit
	for {
		token, err := r.xml.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Space != nsStream || t.Name.Local != "stream" {
				return nil, errNoStream
			}
			return &Element{Space: nsStream, Name: "stream", Attrs: attrsOf(t.Attr)}, nil
		case xml.ProcInst:
			if t.Target != "xml" {
				return nil, errForbidden
			}
		case xml.Comment, xml.Directive:
			return nil, errForbidden
		}
	}
}

// next reads the next element of the stream; io.EOF is the stream's end.
func (r *reader) next() (*Element, error) {
	for {
		r.input.left = r.limit
		token, err := r.xml.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			return r.element(t, 0)
		case xml.EndElement:
			return nil, io.EOF
		case xml.CharData: // keeps the connection alive
		default:
			return nil, errForbidden
		}
	}
}

func (r *reader) element(start xml.StartElement, depth int) (*Element, error) {
	if depth >= maxDepth {
		return nil, errTooDeep
	}
	e := &Element{Space: start.Name.Space, Name: start.Name.Local, Attrs: attrsOf(start.Attr)}
	if e.Space == nsComponent {
		e.Space = NSClient // the same stanzas by another name
	}
	var text []byte
	for {
		token, err := r.xml.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			child, err := r.element(t, depth+1)
			if err != nil {
				return nil, err
			}
			e.Children = append(e.Children, child)
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			e.Text = string(text)
			return e, nil
		default:
			return nil, errForbidden
		}
	}
}

// Parse reads one stanza from a text.
func Parse(text string) (*Element, error) {
	r := newReader(strings.NewReader("<stream:stream xmlns='" + NSClient + "' xmlns:stream='" + nsStream + "'>" + text))
	r.limit = maxStanza
	if _, err := r.header(); err != nil {
		return nil, err
	}
	return r.next()
}
