package queues

import (
	"testing"

	"switchboard/message"
)

func FuzzParseLine(f *testing.F) {
	for _, seed := range []string{`{"from_addr": "1", "to_addr": "2"}`, `{}`, `null`, `[`, `{"to_addr":1}`, "\xff", `{"from_addr":"1","to_addr":"2","timestamp":"x"}`} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, line []byte, inbound bool) {
		to := Address{"sms", message.EventFlow}
		if inbound {
			to.Flow = message.Inbound
		}
		e, err := parseLine(to, line)
		if err != nil {
			return
		}
		if _, err := message.DecodeEnvelope(to.Flow, "sms", e.Encode()); err != nil {
			t.Errorf("published what no worker reads: %v", err)
		}
	})
}
