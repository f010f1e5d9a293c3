package simulator_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
	"switchboard/smpp/simulator"
)

func linked(l simulator.Links) simulator.Settings {
	return simulator.Settings{Behaviour: simulator.Behaviour{Links: &l, Receipts: &simulator.Receipts{Form: "none"}}}
}

func TestBinds(t *testing.T) {
	v := start(t, simulator.Settings{Accounts: []simulator.Account{
		{SystemID: "esme", Password: "secret", MaxBinds: 1},
		{SystemID: "barred", Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusBindFail), First: 1}}},
	}})
	for _, c := range []struct {
		systemID, password string
		want               pdu.Status
	}{
		{"nobody", "secret", pdu.StatusInvSysID},
		{"esme", "wrong", pdu.StatusInvPaswd},
		{"esme", "secret", pdu.StatusOK},
		{"esme", "secret", pdu.StatusAlyBnd},
		{"barred", "", pdu.StatusBindFail},
		{"barred", "", pdu.StatusOK},
	} {
		answer := dial(t, v).ask(&pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: c.systemID, Password: c.password, InterfaceVersion: pdu.Version34})
		if answer.Status != c.want {
			t.Errorf("%s, %q: got %s, want %s", c.systemID, c.password, answer.Status, c.want)
		}
	}
	if c := v.Counters(); c.Binds != 2 || c.Refused != 4 || c.Bound != 2 {
		t.Errorf("counted %+v", c)
	}
}

func TestVersion33HasNoTransceiver(t *testing.T) {
	v := start(t, simulator.Settings{Version: "3.3"})
	if got := dial(t, v).ask(&pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "esme"}).Status; got != pdu.StatusInvCmdID {
		t.Errorf("got %s", got)
	}
	bound(t, v, pdu.CmdBindReceiver, "esme")
}

// Silence is told from an answer that is late by what comes in the meantime on
// another connection, so nothing sleeps for long.
func silent(t *testing.T, c *client) {
	t.Helper()
	p, err := c.read(50 * time.Millisecond)
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, %v; want silence", p, err)
	}
}

func TestSilentConnections(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Silent: true}}, BindTimeout: 1})
	c := dial(t, v)
	c.send(&pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "esme"})
	silent(t, c)
	if got := v.Counters(); got.Open != 1 || got.Received["bind_transceiver"] != 1 {
		t.Errorf("counted %+v", got)
	}
}

func TestHangingConnections(t *testing.T) {
	for _, how := range []string{"silent", "deaf"} {
		v := start(t, linked(simulator.Links{Hang: how, HangAfter: 1}))
		c := bound(t, v, pdu.CmdBindTransceiver, "esme")
		c.ask(submit("the last one"))
		c.send(submit("x"))
		c.send(new(pdu.EnquireLink))
		silent(t, c)
	}
}

func TestIgnoredCommands(t *testing.T) {
	c := bound(t, start(t, linked(simulator.Links{IgnoreEnquire: true, IgnoreUnbind: true})), pdu.CmdBindTransceiver, "esme")
	c.send(new(pdu.EnquireLink))
	c.send(new(pdu.Unbind))
	c.ask(submit("x"))
}

func TestDrops(t *testing.T) {
	for name, c := range map[string]struct {
		links simulator.Links
		works int // submits before
	}{
		"at a command": {simulator.Links{DropAt: "submit_sm"}, 0},
		"after some":   {simulator.Links{DropAfter: 3}, 2},
		"at random":    {simulator.Links{DropRate: 1}, 0},
		"every":        {simulator.Links{DropEvery: simulator.Fixed(5 * time.Millisecond)}, 0},
		"unbind":       {simulator.Links{UnbindAfter: 2}, 1},
		"truncated":    {simulator.Links{Truncated: 1}, 0},
		"garbage":      {simulator.Links{Garbage: 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			client := bound(t, start(t, linked(c.links)), pdu.CmdBindTransceiver, "esme")
			for range c.works {
				client.ask(submit("x"))
			}
			client.send(submit("x"))
			err := client.ended()
			var bad *pdu.Error
			if broken := errors.As(err, &bad); broken != (name == "truncated" || name == "garbage") {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// What cannot be used leaves the connection usable.
func TestOddPDUs(t *testing.T) {
	for name, c := range map[string]struct {
		links simulator.Links
		want  pdu.Kind
	}{
		"oversized":       {simulator.Links{Oversized: 1}, pdu.Oversized},
		"unknown command": {simulator.Links{UnknownCommand: 1}, pdu.UnknownCommand},
		"malformed":       {simulator.Links{Malformed: 1}, pdu.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			client := bound(t, start(t, linked(c.links)), pdu.CmdBindTransceiver, "esme")
			client.ask(submit("x"))
			_, err := client.read(patience)
			var bad *pdu.Error
			if !errors.As(err, &bad) || bad.Kind != c.want || !bad.KeepLink() {
				t.Fatalf("got %v", err)
			}
			client.ask(new(pdu.EnquireLink))
		})
	}
}

func TestUnknownTLVs(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Links: &simulator.Links{UnknownTLVs: true}}})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	if got := c.ask(submit("x")).Body.(*pdu.SubmitSMResp).TLVs; len(got) != 2 {
		t.Errorf("answer with %v", got)
	}
	if got := c.delivered().TLVs; len(got) < 4 {
		t.Errorf("receipt with %v", got)
	}
}

func TestWhatTheSimulatorIsSent(t *testing.T) {
	v := start(t, simulator.Settings{})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	c.write(&pdu.PDU{Sequence: 9, Body: &pdu.Raw{ID: 0x12345}})
	if p := c.next(); p.Command() != pdu.CmdGenericNack || p.Sequence != 9 {
		t.Errorf("got %s", p)
	}
	_, _ = c.conn.Write([]byte("\x00\x00\x00\x01"))
	for {
		if _, err := c.read(patience); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			break
		}
	}
	if got := v.Counters().Unreadable; got != 2 {
		t.Errorf("%d unreadable, want 2", got)
	}
}

// What came and was not answered is recorded all the same.
func TestHookAndUnansweredAreRecorded(t *testing.T) {
	v := start(t, simulator.Settings{Hook: func(_ *session.Session, p *pdu.PDU) bool { return p.Command() == pdu.CmdSubmitSM }})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	c.send(submit("into the void"))
	c.ask(new(pdu.EnquireLink))
	list := v.Submitted()
	if len(list) != 1 || list[0].Answered || list[0].MessageID != "" || list[0].Text() != "into the void" {
		t.Errorf("recorded %+v", list)
	}
}
