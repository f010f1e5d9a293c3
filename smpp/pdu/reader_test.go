package pdu_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"switchboard/smpp/pdu"
)

// frame builds a PDU by hand, right or wrong.
func frame(length uint32, command pdu.CommandID, sequence uint32, body string) string {
	b := binary.BigEndian.AppendUint32(nil, length)
	b = binary.BigEndian.AppendUint32(b, uint32(command))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, sequence)
	return string(b) + body
}

const limit = 1000

func TestReaderSaysWhatIsWrong(t *testing.T) {
	next := frame(16, pdu.CmdEnquireLink, 99, "")
	message := "\x00\x00\x00a\x00\x00\x00b\x00" + strings.Repeat("\x00", 10)
	for name, test := range map[string]struct {
		in         string
		kind       pdu.Kind
		keep       bool
		answer     pdu.CommandID
		status     pdu.Status
		sequence   uint32
		noSequence bool
	}{
		"HTTP":                     {in: "HTTP/1.1 400 Bad Request\r\n", kind: pdu.Garbage, answer: pdu.CmdGenericNack, status: pdu.StatusInvCmdLen, noSequence: true},
		"length zero":              {in: frame(0, pdu.CmdSubmitSM, 5, "") + next, kind: pdu.Garbage, answer: pdu.CmdGenericNack, status: pdu.StatusInvCmdLen, noSequence: true},
		"length 15":                {in: "\x00\x00\x00\x0f", kind: pdu.Garbage, answer: pdu.CmdGenericNack, status: pdu.StatusInvCmdLen, noSequence: true},
		"half a header":            {in: next[:9], kind: pdu.Truncated, noSequence: true},
		"half a body":              {in: frame(40, pdu.CmdSubmitSM, 5, "abc"), kind: pdu.Truncated, sequence: 5},
		"unknown command":          {in: frame(19, 0x42, 5, "abc") + next, kind: pdu.UnknownCommand, keep: true, answer: pdu.CmdGenericNack, status: pdu.StatusInvCmdID, sequence: 5},
		"unknown response":         {in: frame(16, 0x80000042, 5, "") + next, kind: pdu.UnknownCommand, keep: true, sequence: 5},
		"oversized":                {in: frame(limit+1, pdu.CmdDeliverSM, 5, strings.Repeat("x", limit+1-16)) + next, kind: pdu.Oversized, keep: true, answer: pdu.CmdDeliverSMResp, status: pdu.StatusInvCmdLen, sequence: 5},
		"oversized response":       {in: frame(limit+1, pdu.CmdSubmitSMResp, 5, strings.Repeat("x", limit+1-16)) + next, kind: pdu.Oversized, keep: true, sequence: 5},
		"far oversized":            {in: frame(1<<30, pdu.CmdDeliverSM, 5, "xxx"), kind: pdu.Oversized, answer: pdu.CmdDeliverSMResp, status: pdu.StatusInvCmdLen, sequence: 5},
		"oversized and cut off":    {in: frame(limit+1, pdu.CmdDeliverSM, 5, "xxx"), kind: pdu.Truncated, sequence: 5},
		"string without NUL":       {in: frame(19, pdu.CmdSubmitSM, 5, "abc") + next, kind: pdu.Malformed, keep: true, answer: pdu.CmdSubmitSMResp, status: pdu.StatusInvCmdLen, sequence: 5},
		"empty request":            {in: frame(16, pdu.CmdDeliverSM, 5, "") + next, kind: pdu.Malformed, keep: true, answer: pdu.CmdDeliverSMResp, status: pdu.StatusInvCmdLen, sequence: 5},
		"sm_length past the end":   {in: frame(16+21, pdu.CmdDeliverSM, 5, message[:18]+"\x09\x41\x42") + next, kind: pdu.Malformed, keep: true, answer: pdu.CmdDeliverSMResp, status: pdu.StatusInvCmdLen, sequence: 5},
		"parameter past the end":   {in: frame(uint32(16+len(message)+5), pdu.CmdDeliverSM, 5, message+"\x04\x24\x00\x09x") + next, kind: pdu.Malformed, keep: true, answer: pdu.CmdDeliverSMResp, status: pdu.StatusInvOptParStream, sequence: 5},
		"alert with no parameters": {in: frame(17, pdu.CmdAlertNotification, 5, "x") + next, kind: pdu.Malformed, keep: true, answer: pdu.CmdGenericNack, status: pdu.StatusInvCmdLen, sequence: 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := pdu.NewReader(strings.NewReader(test.in), limit)
			p, err := r.Read()
			var e *pdu.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, %v", p, err)
			}
			if e.Kind != test.kind || e.KeepLink() != test.keep || e.HasSequence() == test.noSequence || e.Header.Sequence != test.sequence && !test.noSequence {
				t.Errorf("got %v (kind %v, keep %v, sequence %d)", e, e.Kind, e.KeepLink(), e.Header.Sequence)
			}
			checkAnswer(t, e.Answer(), test.answer, test.status, test.sequence)
			if !test.keep {
				return
			}
			if p, err := r.Read(); err != nil || p.Sequence != 99 {
				t.Errorf("the PDU behind it: %v, %v", p, err)
			}
			if _, err := r.Read(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func checkAnswer(t *testing.T, got *pdu.PDU, command pdu.CommandID, status pdu.Status, sequence uint32) {
	t.Helper()
	if command == 0 {
		if got != nil {
			t.Errorf("answers %v, want none", got)
		}
		return
	}
	if got == nil || got.Command() != command || got.Status != status || got.Sequence != sequence {
		t.Fatalf("answers %v, want %v %d %v", got, command, sequence, status)
	}
	if _, err := got.AppendTo(nil); err != nil {
		t.Error(err)
	}
}

func TestReaderTakesWhatSMSCsSend(t *testing.T) {
	for name, test := range map[string]struct {
		in    string
		check func(pdu.Body) bool
	}{
		"submit_sm_resp without a body": {frame(16, pdu.CmdSubmitSMResp, 1, ""), func(b pdu.Body) bool { return b.(*pdu.SubmitSMResp).MessageID == "" }},
		"message_id without NUL":        {frame(19, pdu.CmdSubmitSMResp, 1, "abc"), func(b pdu.Body) bool { return b.(*pdu.SubmitSMResp).MessageID == "abc" }},
		"query_sm_resp cut short":       {frame(20, pdu.CmdQuerySMResp, 1, "abc\x00"), func(b pdu.Body) bool { return b.(*pdu.QuerySMResp).MessageID == "abc" }},
		"padding after the parameters":  {frame(20, pdu.CmdSubmitSMResp, 1, "a\x00\x00\x00"), func(b pdu.Body) bool { return b.(*pdu.SubmitSMResp).MessageID == "a" }},
		"a long password":               {frame(16+29, pdu.CmdBindReceiver, 1, "me\x00a very long password\x00\x00\x34\x00\x00\x00"), func(b pdu.Body) bool { return b.(*pdu.Bind).Password == "a very long password" }},
		"an unknown parameter": {frame(24, pdu.CmdDataSMResp, 1, "a\x00\x14\x07\x00\x02hi"), func(b pdu.Body) bool {
			v, ok := b.(*pdu.DataSMResp).TLVs.Get(0x1407)
			return ok && string(v) == "hi"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := pdu.NewReader(strings.NewReader(test.in), 0).Read()
			if err != nil {
				t.Fatal(err)
			}
			if !test.check(p.Body) {
				t.Errorf("got %+v", p.Body)
			}
		})
	}
}

// A read deadline that passes between two PDUs, or within a header, loses
// nothing: the session's idle timer may use it.
func TestReaderGoesOnAfterATimeout(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	want := frame(16, pdu.CmdEnquireLink, 7, "")
	r := pdu.NewReader(ours, 0)
	sent := make(chan error, 1)
	go func() { _, err := io.WriteString(theirs, want[:6]); sent <- err }()
	_ = ours.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := r.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	_ = ours.SetReadDeadline(time.Time{})
	go func() { _, err := io.WriteString(theirs, want[6:]); sent <- err }()
	if p, err := r.Read(); err != nil || p.Sequence != 7 {
		t.Fatalf("got %v, %v", p, err)
	}
}

func TestDecodeRefusesLessThanAPDU(t *testing.T) {
	whole, err := samples()["submit_sm"].AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		p, err := pdu.Decode(whole[:n])
		var e *pdu.Error
		if !errors.As(err, &e) || e.Kind != pdu.Truncated || e.KeepLink() {
			t.Fatalf("%d octets: %v, %v", n, p, err)
		}
	}
	if _, err := pdu.Decode(append(bytes.Clone(whole), "next"...)); err != nil {
		t.Errorf("octets behind it: %v", err)
	}
}
