package simulator_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

// Several clients at once, on an SMSC that does everything wrong: the simulator
// itself loses nothing of what it was sent. Answers before the request are left
// out: who believes those loses messages.
func TestEverythingAtOnce(t *testing.T) {
	v := start(t, simulator.Settings{Keep: 1_000_000, Behaviour: rough()})
	const clients, each = 4, 60
	var group sync.WaitGroup
	for n := range clients {
		group.Go(func() { persist(t, v, fmt.Sprint("esme", n%2), n, each) })
	}
	group.Wait()
	seen := map[string]bool{}
	list := v.Submitted()
	for i := range list {
		seen[list[i].Text()] = true
	}
	for n := range clients {
		for i := range each {
			if text := fmt.Sprint("client ", n, " message ", i); !seen[text] {
				t.Fatalf("%q is not recorded, of %d", text, len(list))
			}
		}
	}
	c := v.Counters()
	if c.Submits != uint64(len(list)) || c.Dropped == 0 || c.Receipts == 0 || c.GarbageSent == 0 {
		t.Errorf("%d recorded, counted %+v", len(list), c)
	}
}

func rough() simulator.Behaviour {
	return simulator.Behaviour{
		Answers: &simulator.Answers{
			Delay: simulator.Between(0, 3*time.Millisecond), QueueFull: 0.05, Duplicated: 0.05, WrongSequence: 0.05, Nack: 0.05,
			Lost: 0.02, Ignored: 0.02, Late: 0.02, LateBy: simulator.Fixed(20 * time.Millisecond),
		},
		Receipts: &simulator.Receipts{
			Delay: simulator.Between(0, 10*time.Millisecond), Early: 0.1, EarlyBy: simulator.Fixed(time.Millisecond), Duplicated: 0.1,
			Lost: 0.1, Unmatched: 0.1, Intermediate: 0.3,
		},
		Links: &simulator.Links{
			DropRate: 0.01, Garbage: 0.005, Truncated: 0.005, Oversized: 0.01, UnknownCommand: 0.02, Malformed: 0.02, UnknownTLVs: true,
			DropEvery: simulator.Between(50*time.Millisecond, 200*time.Millisecond),
		},
		Generate: &simulator.Generate{Rate: 200, Long: 0.5, Methods: []string{"udh8", "sar"}, Shuffle: true, LoseOne: 0.1},
		Delivery: &simulator.Delivery{TPS: 500, Pause: 1},
	}
}

// persist submits its messages one by one; each is sent once on a connection
// that takes it, and again when nothing says that it arrived.
func persist(t *testing.T, v *simulator.SMSC, systemID string, n, each int) {
	var conn net.Conn
	var r *pdu.Reader
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for i := 0; i < each; {
		if conn == nil {
			var err error
			if conn, err = net.Dial("tcp", v.Addr()); err != nil {
				t.Error(err)
				return
			}
			r = pdu.NewReader(conn, 0)
			write(conn, 1, &pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: systemID, InterfaceVersion: pdu.Version34})
		}
		write(conn, uint32(i+2), submit(fmt.Sprint("client ", n, " message ", i)))
		if settled(conn, r, uint32(i+2)) {
			i++
			continue
		}
		_ = conn.Close()
		conn = nil
	}
}

func write(conn net.Conn, sequence uint32, body pdu.Body) {
	_, _ = (&pdu.PDU{Sequence: sequence, Body: body}).WriteTo(conn)
}

// settled reads until a submit is answered, and answers what comes meanwhile;
// false when the connection ends or is silent for too long.
func settled(conn net.Conn, r *pdu.Reader, sequence uint32) bool {
	for {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		p, err := r.Read()
		if bad, ok := err.(*pdu.Error); ok && bad.KeepLink() {
			continue
		}
		if err != nil {
			return false
		}
		if p.Command() == pdu.CmdDeliverSM {
			_, _ = p.Respond(pdu.StatusOK).WriteTo(conn)
		}
		if p.Command() == pdu.CmdSubmitSMResp && p.Sequence == sequence {
			return true
		}
	}
}
