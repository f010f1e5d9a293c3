package explain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"switchboard/message"
)

// maxSampleLine is the longest line of a sample, in bytes.
const maxSampleLine = 4 << 20

// Sample reads messages from JSON lines. A line is a message or event as it is
// on the wire, or {"flow": …, "connector": …, "body": …} with such a one inside.
// Without a flow events are events and messages inbound; without a connector
// they come from their transport_name.
type Sample struct {
	lines *bufio.Scanner
	line  int
}

// NewSample reads a sample from r.
func NewSample(r io.Reader) *Sample {
	s := &Sample{lines: bufio.NewScanner(r)}
	s.lines.Buffer(nil, maxSampleLine)
	return s
}

// wrapped is a line that says where its message lies.
type wrapped struct {
	Flow      message.Flow    `json:"flow"`
	Connector string          `json:"connector"`
	Body      json.RawMessage `json:"body"`
}

// Next is the next message, or io.EOF after the last. An error about a line
// names it; reading may go on after it.
func (s *Sample) Next() (*message.Envelope, error) {
	for s.lines.Scan() {
		s.line++
		if text := bytes.TrimSpace(s.lines.Bytes()); len(text) > 0 {
			e, err := readLine(text)
			if err != nil {
				return nil, &LineError{s.line, err}
			}
			return e, nil
		}
	}
	switch err := s.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than %d bytes", s.line+1, maxSampleLine)
	case err != nil:
		return nil, fmt.Errorf("reading sample: %w", err)
	}
	return nil, io.EOF
}

// LineError is an error about one line of a sample.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

func readLine(text []byte) (*message.Envelope, error) {
	var w wrapped
	var kind struct {
		MessageType string `json:"message_type"`
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if w.Body == nil {
		w.Body = bytes.Clone(text)
	}
	_ = json.Unmarshal(w.Body, &kind) // decoding tells more below
	if w.Flow == "" {
		w.Flow = message.Inbound
		if kind.MessageType == "event" {
			w.Flow = message.EventFlow
		}
	}
	e, err := message.DecodeEnvelope(w.Flow, w.Connector, w.Body)
	if err != nil {
		return nil, err
	}
	if e.Connector == "" {
		e.Connector = e.TransportName()
	}
	if e.Connector == "" {
		return nil, errors.New(`it has no transport_name; write {"connector": …, "flow": …, "body": …}`)
	}
	return e, nil
}
