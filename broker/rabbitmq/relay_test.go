package rabbitmq

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"switchboard/broker"
)

// TestRelay copies a body over broker.MaxBody: whoever reads sees it empty, and what is
// published next has it. Frames that come between its own reach the reader.
func TestRelay(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	r := &relay{Conn: near, in: bufio.NewReaderSize(near, readBuffer), closed: make(chan struct{})}
	header := func(size uint64) []byte {
		return frame(contentFrame, append(binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, size), "properties"...))
	}
	heartbeat, confirm := frame(8, nil), frame(1, []byte("confirm"))
	const size = broker.MaxBody + 1
	piece := frame(bodyFrame, bytes.Repeat([]byte("x"), 100_000))
	last := frame(bodyFrame, make([]byte, size%100_000))
	body := append(slices.Concat(bytes.Repeat(piece, size/100_000)), last...)
	go func() { // RabbitMQ
		far.Write(slices.Concat(header(5), frame(bodyFrame, []byte("small")), header(size), piece, heartbeat, body[len(piece):], confirm))
	}()
	read := func(want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %q, %v; want %q", got, err, want)
		}
	}
	read(slices.Concat(header(5), frame(bodyFrame, []byte("small")), header(0)))
	publication := slices.Concat([]byte("AMQP\x00\x00\x09\x01"), frame(1, []byte("publish")), header(0))
	written := make(chan error, 1)
	go func() { // in two pieces
		_, err := r.Write(publication[:20])
		if err == nil {
			_, err = r.Write(publication[20:])
		}
		written <- err
	}()
	want := slices.Concat(publication[:len(publication)-len(header(0))], header(size), body)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("RabbitMQ got something else: %v", err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	read(append(heartbeat, confirm...))

	if err := near.SetDeadline(time.Now()); err != nil { // as closing does
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := r.Write(frame(1, []byte("close"))); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("closing took %v: %v", time.Since(began), err)
	}
}
