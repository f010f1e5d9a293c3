package rabbitmq

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

func frame(kind byte, payload []byte) []byte {
	f := binary.BigEndian.AppendUint32([]byte{kind, 0, 1}, uint32(len(payload)))
	return append(append(f, payload...), 0xCE)
}

// Content headers are found however the bytes are cut.
func TestFramesInPieces(t *testing.T) {
	var stream []byte
	var want []uint64
	for range 100 {
		size := uint64(rand.N(1000))
		header := binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, size)
		stream = append(stream, frame(1, make([]byte, rand.N(80)))...)
		stream = append(stream, frame(contentFrame, append(header, make([]byte, rand.N(50))...))...)
		stream = append(stream, frame(3, make([]byte, size))...)
		want = append(want, size)
	}
	var f frames
	var got []uint64
	for rest := stream; len(rest) > 0; {
		n := min(1+rand.N(40), len(rest))
		_ = f.scan(rest[:n], func(size uint64) error { got = append(got, size); return nil })
		rest = rest[n:]
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d of %d sizes: %v", len(got), len(want), got)
	}
	if f = (frames{}); f.scan(stream, func(uint64) error { return errTooMuchAtOnce }) == nil {
		t.Error("it goes on where it should not")
	}
}
