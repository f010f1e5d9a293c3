package rabbitmq

import (
	"encoding/binary"
	"errors"
)

// errTooMuchAtOnce ends a connection on which RabbitMQ sends more than the handlers may
// hold: a prefetch of many small bodies met large ones. All return to their queues.
var errTooMuchAtOnce = errors.New("RabbitMQ sent more bytes at once than are taken; connecting again with a small prefetch")

// frames reads along the frames that RabbitMQ sends (AMQP 0-9-1 §4.2.3), as they come in
// pieces, and finds the content headers.
type frames struct {
	skip uint64 // bytes until the next frame
	have int
	head [contentHead]byte
}

const (
	frameHead    = 7 // type, channel, size
	contentHead  = frameHead + 12
	contentFrame = 2 // the type of a content header: class, weight, body size, …
	bodyFrame    = 3
)

// scan calls content with the body size of each content header in p, until an error.
func (f *frames) scan(p []byte, content func(size uint64) error) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, uint64(len(p)))
			p, f.skip = p[n:], f.skip-n
			continue
		}
		want := frameHead
		if f.have >= frameHead {
			want = contentHead
		}
		n := copy(f.head[f.have:want], p)
		f.have, p = f.have+n, p[n:]
		if f.have < want || want == frameHead && f.head[0] == contentFrame {
			continue
		}
		f.skip = uint64(binary.BigEndian.Uint32(f.head[3:])) + 1 + frameHead - uint64(f.have) // 1 ends a frame
		f.have = 0
		if want == contentHead {
			if err := content(binary.BigEndian.Uint64(f.head[frameHead+4:])); err != nil {
				return err
			}
		}
	}
	return nil
}
