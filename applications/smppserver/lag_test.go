package smppserver

import (
	"testing"

	"switchboard/smpp/pdu"
)

// What a customer puts off again and again does not make every start look at
// all that came since: it moves up to the last number, and comes again.
func TestWhatIsPutOffMovesUp(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	b.says("poison")
	p, _ := c.deliverSM()
	e, err := b.app.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	box := e.customers["acme"].box
	box.mu.Lock()
	old := box.mails[0].number
	box.next += 2 * farBehind // as if so many others had come and gone
	box.mu.Unlock()
	c.write(p.Respond(pdu.StatusRxTAppn))
	b.eventually("it has another number", func() bool {
		box.mu.Lock()
		defer box.mu.Unlock()
		return len(box.mails) == 1 && box.mails[0].number > old+farBehind
	})
	b.eventually("it has no other", func() bool {
		found, err := b.app.env.State.Get(within(t), box.key(old))
		return err == nil && len(found) == 0
	})
	_ = c.conn.Close()
	b.stop()
	b.run()
	c = b.bound(pdu.CmdBindTransceiver)
	if got := text(t, c.delivered()); got != "poison" {
		t.Errorf("after a restart came %q", got)
	}
	b.eventually("nothing is kept", func() bool { return b.kept() == 0 })
}
