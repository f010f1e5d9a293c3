package smpp

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/transporttest"
)

// peer is an SMSC that answers as a test says: what the simulator cannot be
// taught.
type peer struct {
	net.Listener
	connections atomic.Int32
	answer      func(p *pdu.PDU) *pdu.PDU // nil is none
	raw         func(answer []byte) []byte

	mu   sync.Mutex
	seen []*pdu.SubmitSM
}

// startPeer starts one; it ends with the test.
func startPeer(t *testing.T, answer func(p *pdu.PDU) *pdu.PDU) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &peer{Listener: l, answer: answer, raw: func(b []byte) []byte { return b }}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			v.connections.Add(1)
			group.Go(func() { v.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		group.Wait()
	})
	return v
}

func (v *peer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for r := pdu.NewReader(conn, 0); ; {
		p, err := r.Read()
		if err != nil {
			return
		}
		if s, is := p.Body.(*pdu.SubmitSM); is {
			v.mu.Lock()
			v.seen = append(v.seen, s)
			v.mu.Unlock()
		}
		answer := v.answer(p)
		if answer == nil {
			continue
		}
		frame, err := answer.AppendTo(nil)
		if err != nil {
			return
		}
		if answer.Command() == pdu.CmdSubmitSMResp {
			frame = v.raw(frame)
		}
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

func (v *peer) submits() []*pdu.SubmitSM {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen
}

// plainly answers every request with ESME_ROK, submit_sm with an id, and a bind
// as an SMSC of a version; 0 says none.
func plainly(says uint8) func(p *pdu.PDU) *pdu.PDU {
	return func(p *pdu.PDU) *pdu.PDU {
		answer := p.Respond(pdu.StatusOK)
		switch body := answer.Body.(type) {
		case *pdu.SubmitSMResp:
			body.MessageID = "abc"
		case *pdu.BindResp:
			if says != 0 {
				body.TLVs.Set(pdu.Byte(pdu.TagSCInterfaceVersion, says))
			}
		}
		if p.Command().IsResponse() {
			return nil
		}
		return answer
	}
}

// bindTo runs a transport against a peer.
func bindTo(t *testing.T, v *peer, options ...func(*Transport)) *bundle {
	t.Helper()
	b := &bundle{T: t, line: transporttest.NewPublisher(), state: remember(t)}
	b.Transport = connected(t, v.Addr().String(), b.state, nil, options...)
	b.stop = transporttest.Start(t, b.Transport, b.line)
	b.awaitStatus("bound")
	return b
}

// An answer counts for what it says, whatever stands behind it.
func TestMalformedAnswers(t *testing.T) {
	for name, raw := range map[string]func([]byte) []byte{
		"padded":        func(b []byte) []byte { return lengthened(append(b, 1, 2, 3, 4, 5)) },
		"half a tag":    func(b []byte) []byte { return lengthened(append(b, 1)) },
		"no end":        func(b []byte) []byte { return lengthened(b[:len(b)-1]) },
		"far too long":  func(b []byte) []byte { return lengthened(append(b, make([]byte, pdu.DefaultMaxLength)...)) },
		"no message_id": func(b []byte) []byte { return lengthened(b[:pdu.HeaderLength]) },
	} {
		t.Run(name, func(t *testing.T) {
			v := startPeer(t, plainly(pdu.Version34))
			v.raw = raw
			id, err := bindTo(t, v).Send(within(t), outgoing("hello"))
			if known := name != "far too long" && name != "no message_id"; err != nil || (id == "abc") != known {
				t.Errorf("Send = %q, %v", id, err)
			}
		})
	}
}

func lengthened(b []byte) []byte {
	n := len(b)
	b[0], b[1], b[2], b[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return b
}

// Who does not say that it knows optional parameters gets none that nobody asked
// for; one that asks for more is as it was.
func TestReferencesNeedAnSMSCThatBearsThem(t *testing.T) {
	for says, want := range map[uint8]bool{0: false, pdu.Version33: false, pdu.Version34: true, pdu.Version50: true} {
		v := startPeer(t, plainly(says))
		b := bindTo(t, v, func(o *Transport) { o.BindMode = binds.ModeTransmitter })
		b.send(outgoing("hello"))
		m := outgoing("hello")
		m.TransportMetadata.Set("user_message_reference", 7)
		b.send(m)
		seen := v.submits()
		if _, has := seen[0].TLVs.Get(pdu.TagUserMessageReference); has != want {
			t.Errorf("to an SMSC of version %x: %v", says, seen[0].TLVs)
		}
		if reference, _ := seen[1].TLVs.Uint(pdu.TagUserMessageReference); (reference == 7) != (says != pdu.Version33) {
			t.Errorf("to an SMSC of version %x: %v, want the message's own", says, seen[1].TLVs)
		}
	}
}

// An SMSC that refuses our reference gets the message without, and no further
// ones.
func TestRefusedReferences(t *testing.T) {
	for _, status := range []pdu.Status{pdu.StatusOptParNotAllwd, pdu.StatusInvOptParamVal} {
		plain := plainly(pdu.Version34)
		v := startPeer(t, func(p *pdu.PDU) *pdu.PDU {
			if s, is := p.Body.(*pdu.SubmitSM); is && len(s.TLVs) > 0 {
				return p.Respond(status)
			}
			return plain(p)
		})
		b := bindTo(t, v)
		long := strings.Repeat("0123456789", 50)
		b.send(outgoing(long))
		if n := len(v.submits()); n > 8 {
			t.Errorf("%s: %d submits of 4 parts", status, n)
		}
		before := len(v.submits())
		b.send(outgoing("hello"))
		if seen := v.submits()[before:]; len(seen) != 1 || string(seen[0].ShortMessage) != "hello" {
			t.Errorf("%s: then %+v", status, seen)
		}
		own := outgoing("hello")
		own.TransportMetadata.Set("user_message_reference", 7)
		if _, err := b.Send(within(t), own); err == nil || !strings.Contains(err.Error(), status.String()) {
			t.Errorf("%s, of the message's own: %v", status, err)
		}
	}
}

// What an SMSC says to a receiver says nothing of a transmitter.
func TestEachBindHasItsVersion(t *testing.T) {
	v := startPeer(t, func(p *pdu.PDU) *pdu.PDU {
		if p.Command() == pdu.CmdBindReceiver {
			return plainly(pdu.Version33)(p)
		}
		return plainly(pdu.Version34)(p)
	})
	b := bindTo(t, v, func(o *Transport) { o.BindMode, o.SendMultipartSAR = binds.ModeSplit, true })
	b.awaitStatus("bound")
	b.send(outgoing(strings.Repeat("x", 161)))
	if tlvs := v.submits()[0].TLVs; len(tlvs) != 4 {
		t.Errorf("parameters %v, want those of a part and a reference", tlvs)
	}
}

// A bind that the SMSC has lost is made anew.
func TestLostBindIsBoundAnew(t *testing.T) {
	var refused atomic.Bool
	v := startPeer(t, func(p *pdu.PDU) *pdu.PDU {
		if p.Command() == pdu.CmdSubmitSM && refused.CompareAndSwap(false, true) {
			return p.Respond(pdu.StatusInvBndSts)
		}
		return plainly(pdu.Version34)(p)
	})
	b := bindTo(t, v)
	if _, err := b.Send(within(t), outgoing("hello")); err == nil || !strings.Contains(err.Error(), "ESME_RINVBNDSTS") {
		t.Errorf("Send = %v", err)
	}
	b.awaitStatus("connection_lost")
	b.awaitStatus("bound")
	b.send(outgoing("hello"))
	if n := v.connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// A deliver_sm that comes before its time is asked for again.
func TestDeliverBeforeBind(t *testing.T) {
	answered := make(chan pdu.Status, 1)
	var bind *pdu.PDU
	v := startPeer(t, func(p *pdu.PDU) *pdu.PDU {
		switch p.Body.(type) {
		case *pdu.Bind:
			bind = p
			return &pdu.PDU{Sequence: 9, Body: new(pdu.DeliverSM)}
		case *pdu.DeliverSMResp:
			answered <- p.Status
			return plainly(pdu.Version34)(bind)
		}
		return plainly(pdu.Version34)(p)
	})
	bindTo(t, v)
	if status := <-answered; status != pdu.StatusRxTAppn {
		t.Errorf("answered with %s", status)
	}
}
