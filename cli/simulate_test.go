package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

// A line that is typed in reaches whoever is bound; counters are written as JSON.
func TestSimulateSMSC(t *testing.T) {
	input, typing := io.Pipe()
	output, written := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		s := simulation{json: true}
		ended <- s.run(ctx, simulator.Settings{Listen: "127.0.0.1:0"}, input, written)
		_ = written.Close()
	}()
	lines := bufio.NewScanner(output)
	lines.Scan()
	var greeting struct{ Listening string }
	if err := json.Unmarshal(lines.Bytes(), &greeting); err != nil {
		t.Fatalf("%q: %v", lines.Text(), err)
	}
	rest := make(chan string, 1)
	go func() {
		last := ""
		for lines.Scan() {
			last = lines.Text()
		}
		rest <- last
	}()
	if got := typedTo(t, greeting.Listening, typing); got != "hello there" {
		t.Errorf("delivered %q", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if last := <-rest; !strings.Contains(last, `"messages_taken":1`) {
		t.Errorf("counters at the end: %s", last)
	}
	_ = typing.Close()
}

// typedTo binds, types a message, and returns what is delivered.
func typedTo(t *testing.T, address string, typing io.Writer) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := pdu.NewReader(conn, 0)
	send := func(p *pdu.PDU) {
		if _, err := p.WriteTo(conn); err != nil {
			t.Fatal(err)
		}
	}
	send(&pdu.PDU{Sequence: 1, Body: &pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "esme"}})
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(typing, "31612345678 1234 hello there\n")
	p, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	send(p.Respond(pdu.StatusOK))
	// The answer to an enquiry says that what was sent before it was read.
	send(&pdu.PDU{Sequence: 2, Body: new(pdu.EnquireLink)})
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	return string(p.Body.(*pdu.DeliverSM).ShortMessage)
}

func TestConversation(t *testing.T) {
	var c conversation
	for _, step := range []struct{ line, from, to, text string }{
		{"hello", "31612345678", "1234", "hello"},
		{"+31699999999 5678 one two", "+31699999999", "5678", "one two"},
		{"12 o'clock is fine", "+31699999999", "5678", "12 o'clock is fine"},
	} {
		if m := c.read(step.line); m.From != step.from || m.To != step.to || m.Text != step.text {
			t.Errorf("%q: got %+v", step.line, m)
		}
	}
}

func TestSimulateSMSCRefusesWrongScripts(t *testing.T) {
	cmd := simulateSMSCCommand()
	cmd.SetArgs([]string{"nowhere.yaml"})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}
