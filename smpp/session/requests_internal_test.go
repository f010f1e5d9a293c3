package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"switchboard/internal/coalesce"
	"switchboard/smpp/pdu"
)

// After the highest sequence_number comes 1, and none that waits for an answer.
func TestSequencesBeginAnew(t *testing.T) {
	old := &request{}
	q := requests{waiting: map[uint32]*request{2: old}, sequence: pdu.MaxSequence - 1}
	var list []uint32
	for range 3 {
		sequence, err := q.add(&request{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, sequence)
	}
	if got := fmt.Sprint(list); got != fmt.Sprint([]uint32{pdu.MaxSequence, 1, 3}) || q.waiting[2] != old {
		t.Errorf("sequence numbers %s", got)
	}
}

// What cannot be written because the connection is gone is not the request's fault: whoever
// makes it tries another session.
func TestWritingToALostConnection(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	s := &Session{conn: near, out: coalesce.New(near, 0), requests: requests{waiting: map[uint32]*request{}, window: 1}}
	s.out.Fail(io.ErrClosedPipe)
	if err := s.Send(&pdu.DeliverSM{}, func(*pdu.PDU, error) { t.Error("done is called too") }); !errors.Is(err, ErrClosed) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("sending: %v", err)
	}
	whole := &Session{conn: near, out: coalesce.New(near, 0), requests: requests{waiting: map[uint32]*request{}, window: 1}}
	if err := whole.Send(&pdu.DeliverSM{Message: pdu.Message{ShortMessage: make([]byte, 300)}}, nil); err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("sending what cannot be written: %v", err)
	}
}
