package session

import (
	"fmt"
	"testing"
	"time"

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
