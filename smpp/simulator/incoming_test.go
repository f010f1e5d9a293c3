package simulator_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

const long = "This is a text that is longer than what fits into one short message, and so it has to be cut into " +
	"several, each of which says which part of the whole it is: the reader puts them together again, in any order."

// parts reads n deliver_sm as the parts of a long message.
func parts(t *testing.T, c *client, n int) (list []gsm.Part, coding gsm.Coding) {
	t.Helper()
	for range n {
		m := c.delivered()
		coding = gsm.FromDataCoding(uint8(m.DataCoding))
		if m.ESMClass.UDHI() {
			part, _, err := gsm.ParsePart(m.Payload())
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, part)
			continue
		}
		reference, _ := m.TLVs.Uint(pdu.TagSarMsgRefNum)
		total, _ := m.TLVs.Uint(pdu.TagSarTotalSegments)
		number, _ := m.TLVs.Uint(pdu.TagSarSegmentSeqnum)
		part, ok := gsm.SARPart(uint16(reference), uint8(total), uint8(number), m.Payload())
		if !ok {
			part = gsm.Part{Total: 1, Seq: 1, Payload: m.Payload()}
		}
		list = append(list, part)
	}
	return list, coding
}

func TestLongMessages(t *testing.T) {
	for method, n := range map[string]int{"udh8": 2, "udh16": 2, "sar": 2, "payload": 1} {
		t.Run(method, func(t *testing.T) {
			v := start(t, simulator.Settings{})
			c := bound(t, v, pdu.CmdBindReceiver, "esme")
			answered := deliver(t, v, simulator.Incoming{From: "31612345678", To: "1234", Text: long, Method: method, Shuffle: true})
			list, coding := parts(t, c, n)
			slices.SortFunc(list, func(a, b gsm.Part) int { return int(a.Seq) - int(b.Seq) })
			got, err := gsm.Encoding{Coding: coding}.DecodeParts(list)
			if err != nil || got != long || int(list[0].Total) != n || list[0].Wide != (method == "udh16" || method == "sar") {
				t.Errorf("got %q (%v), parts %+v", got, err, list[0])
			}
			if err := <-answered; err != nil {
				t.Error(err)
			}
		})
	}
}

func deliver(t *testing.T, v *simulator.SMSC, m simulator.Incoming) <-chan error {
	t.Helper()
	answered := make(chan error, 1)
	ctx := within(t)
	go func() { answered <- v.Deliver(ctx, m) }()
	return answered
}

func TestLostPart(t *testing.T) {
	v := start(t, simulator.Settings{})
	c := bound(t, v, pdu.CmdBindReceiver, "esme")
	deliver(t, v, simulator.Incoming{From: "31612345678", To: "1234", Text: long + long, Order: []int{2, 0}})
	list, _ := parts(t, c, 2)
	if list[0].Seq != 3 || list[1].Seq != 1 || list[0].Total != 3 {
		t.Errorf("got %+v", list)
	}
}

func TestMessageToNobody(t *testing.T) {
	v := start(t, simulator.Settings{})
	if err := v.Deliver(t.Context(), simulator.Incoming{From: "1", To: "2", Text: "x"}); err == nil {
		t.Error("delivered to nobody")
	}
}

func TestRefusedMessage(t *testing.T) {
	v := start(t, simulator.Settings{})
	c := bound(t, v, pdu.CmdBindReceiver, "esme")
	answered := deliver(t, v, simulator.Incoming{From: "31612345678", To: "1234", Text: "x"})
	c.write(c.next().Respond(pdu.StatusInvDstAdr))
	if err := <-answered; err == nil || !strings.Contains(err.Error(), "ESME_RINVDSTADR") {
		t.Errorf("got %v", err)
	}
}

func TestGeneratedTraffic(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Generate: &simulator.Generate{
		Rate: 1000, Count: 6, From: "4912#####", To: "777", Texts: []string{"hello {n}", "hi {n}"}, Long: 1, Methods: []string{"udh8", "sar"},
	}}})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	numbers := map[string]bool{}
	for range 6 * 3 {
		m := c.delivered()
		numbers[m.Source.Addr] = true
		if m.Dest.Addr != "777" || !strings.HasPrefix(m.Source.Addr, "4912") || strings.Contains(m.Source.Addr, "#") {
			t.Fatalf("got %+v", m)
		}
	}
	if err := v.WaitMessages(within(t), 18); err != nil {
		t.Fatal(err)
	}
	if made := v.Generated(); len(made) != 6 || len(numbers) < 2 || !strings.HasPrefix(made[1].Text, "hi 2 w1 w2") {
		t.Errorf("made %+v from %v", made, numbers)
	}
}

func TestUSSD(t *testing.T) {
	v := start(t, simulator.Settings{})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	type dialled struct {
		call *simulator.Call
		err  error
	}
	began := make(chan dialled, 1)
	ctx := within(t)
	go func() {
		call, err := v.Dial(ctx, "", "31612345678", "*120#")
		began <- dialled{call, err}
	}()
	m := c.delivered()
	session, _ := m.TLVs.ITSSession()
	op, _ := m.TLVs.Uint(pdu.TagUSSDServiceOp)
	if m.ServiceType != "USSD" || op != uint32(pdu.USSDPSSRIndication) || m.Dest.Addr != "*120#" || session.Sequence != 0 {
		t.Errorf("got %+v", m)
	}
	d := <-began
	if d.err != nil {
		t.Fatal(d.err)
	}
	c.ask(prompt("1. yes 2. no", pdu.USSDUSSRRequest))
	if p, err := d.call.Next(ctx); err != nil || p.Text != "1. yes 2. no" || p.End {
		t.Fatalf("got %+v, %v", p, err)
	}
	replied := make(chan error, 1)
	go func() { replied <- d.call.Reply(ctx, "1") }()
	m = c.delivered()
	next, _ := m.TLVs.ITSSession()
	if string(m.ShortMessage) != "1" || next.Number != session.Number || next.Sequence != 1 {
		t.Errorf("got %+v in %+v", m, next)
	}
	if err := <-replied; err != nil {
		t.Fatal(err)
	}
	c.ask(prompt("bye", pdu.USSDPSSRResponse))
	if p, err := d.call.Next(ctx); err != nil || !p.End {
		t.Errorf("got %+v, %v", p, err)
	}
	if err := d.call.Reply(ctx, "more"); err == nil {
		t.Error("a session that is over goes on")
	}
}

func prompt(text string, op uint8) *pdu.SubmitSM {
	m := submit(text)
	m.ServiceType, m.RegisteredDelivery = "USSD", 0
	m.TLVs = pdu.TLVs{pdu.Byte(pdu.TagUSSDServiceOp, op)}
	return m
}

func TestGeneratedUSSD(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{USSD: &simulator.USSD{Rate: 1000, Count: 1, From: "31612345678", Inputs: []string{"1", "2"}}}})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	for i, want := range []string{"*120#", "1", "2", ""} {
		m := c.delivered()
		session, _ := m.TLVs.ITSSession()
		if string(m.ShortMessage) != want || session.End != (i == 3) {
			t.Fatalf("step %d: got %q in %+v", i, m.ShortMessage, session)
		}
		if i < 3 {
			c.send(prompt("menu", pdu.USSDUSSRRequest))
			if p := c.next(); p.Command() != pdu.CmdSubmitSMResp {
				t.Fatalf("got %s", p)
			}
		}
	}
}

func TestHTTP(t *testing.T) {
	v := start(t, simulator.Settings{HTTP: "127.0.0.1:0"})
	base := "http://" + v.HTTPAddr()
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	defer http.DefaultClient.CloseIdleConnections()
	sent := make(chan int, 1)
	go func() {
		r, err := http.PostForm(base+"/deliver", url.Values{"from": {"31612345678"}, "to": {"1234"}, "text": {"hello"}})
		if err != nil {
			sent <- 0
			return
		}
		_ = r.Body.Close()
		sent <- r.StatusCode
	}()
	if got := string(c.delivered().ShortMessage); got != "hello" {
		t.Errorf("delivered %q", got)
	}
	if status := <-sent; status != http.StatusOK {
		t.Errorf("POST /deliver: %d", status)
	}
	if status := post(t, base+"/behaviour", "answers:\n  queue_full: 100%\n"); status != http.StatusNoContent {
		t.Fatalf("POST /behaviour: %d", status)
	}
	if got := c.ask(submit("x")).Status; got != pdu.StatusMsgQFul {
		t.Errorf("got %s after POST /behaviour", got)
	}
	var counters simulator.Counters
	if err := json.Unmarshal(get(t, base+"/counters"), &counters); err != nil || counters.Answers["ESME_RMSGQFUL"] != 1 {
		t.Errorf("counters %+v: %v", counters, err)
	}
	for path, want := range map[string]string{
		"/metrics":         `switchboard_smsc_answers_total{status="ESME_RMSGQFUL"} 1`,
		"/received?from=1": `"command":"submit_sm"`,
		"/":                v.Addr(),
	} {
		if got := string(get(t, base+path)); !strings.Contains(got, want) {
			t.Errorf("GET %s: %s", path, got)
		}
	}
	if status := post(t, base+"/drop", ""); status != http.StatusOK {
		t.Fatalf("POST /drop: %d", status)
	}
	if err := c.ended(); err == nil {
		t.Error("goes on after POST /drop")
	}
}

func post(t *testing.T, address, body string) int {
	t.Helper()
	r, err := http.Post(address, "text/yaml", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	return r.StatusCode
}

func get(t *testing.T, address string) []byte {
	t.Helper()
	r, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestClosingEndsWaiting(t *testing.T) {
	v := start(t, simulator.Settings{Accounts: []simulator.Account{{SystemID: "esme"}}})
	answered := make(chan error, 1)
	go func() { answered <- v.Deliver(context.Background(), simulator.Incoming{From: "1", To: "2", Text: "x"}) }()
	if err := v.Wait(within(t), "it to be queued", func(c simulator.Counters) bool { return c.Waiting == 1 }); err != nil {
		t.Fatal(err)
	}
	_ = v.Close()
	if err := <-answered; err == nil {
		t.Error("delivered")
	}
}
