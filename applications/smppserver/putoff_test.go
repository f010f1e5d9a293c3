package smppserver

import (
	"testing"

	"switchboard/smpp/pdu"
)

// What a customer puts off again and again comes again, also after a restart and
// behind many others.
func TestWhatIsPutOffComesAgain(t *testing.T) {
	const many = 200
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	b.says("poison")
	p, _ := c.deliverSM()
	c.write(p.Respond(pdu.StatusRxTAppn))
	for range many {
		b.says("good")
	}
	for good := 0; good < many; {
		p, m := c.deliverSM()
		status := pdu.StatusRxTAppn
		if text(t, m) == "good" {
			status, good = pdu.StatusOK, good+1
		}
		c.write(p.Respond(status))
	}
	b.eventually("the others are forgotten", func() bool { return b.queued() == 1 })
	_ = c.conn.Close()
	b.stop()
	b.run()
	c = b.bound(pdu.CmdBindTransceiver)
	if got := text(t, c.delivered()); got != "poison" {
		t.Errorf("after a restart came %q", got)
	}
	b.eventually("nothing is queued", func() bool { return b.queued() == 0 })
}
