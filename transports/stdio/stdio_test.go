package stdio

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/transporttest"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// own is a transport whose own input and output are pipes.
type own struct {
	*Transport
	*transporttest.Publisher
	input  *os.File
	output *bufio.Reader
	log    *strings.Builder
	stop   func()
}

func start(t *testing.T, change ...func(*Transport)) *own {
	t.Helper()
	in, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	output, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := &own{Transport: New(), Publisher: transporttest.NewPublisher(), input: input, output: bufio.NewReader(output), log: &strings.Builder{}}
	o.FromAddr = "thandi"
	o.logger = slog.New(slog.NewTextHandler(o.log, nil)) // read after the stop
	for _, c := range change {
		c(o.Transport)
	}
	o.open = func(context.Context) (*ends, error) { return newEnds(in, out), nil }
	o.stop = transporttest.Start(t, o.Transport, o.Publisher)
	t.Cleanup(func() {
		o.stop()
		for _, f := range []*os.File{in, input, out, output} {
			_ = f.Close()
		}
	})
	return o
}

func (o *own) writes(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(o.input, text); err != nil {
		t.Fatal(err)
	}
}

func (o *own) reads(t *testing.T) string {
	t.Helper()
	text, err := o.output.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(text, "\n")
}

// What a line leaves out is filled in, and what it has stays.
func TestLinesAreMessages(t *testing.T) {
	o := start(t)
	o.writes(t, `{"content": "hello"}`+"\r\n\n")
	first := o.Next(t)
	o.writes(t, `{"from_addr": "zo\u00eb", "to_addr": "9", "message_id": "m1", "session_event": "new", "content": null,`+
		` "transport_metadata": {"k": [1]}, "own": 5, "timestamp": "2026-01-02 03:04:05"}`+"\n")
	if first.Content != "hello" || first.From != "thandi" || first.To != "stdio" || first.TransportType != "stdio" || len(first.ID) != 32 || first.Timestamp.IsZero() {
		t.Errorf("got %s", first.Encode())
	}
	second := o.Next(t)
	extra := second.Extra()
	if second.From != "zoë" || second.ID != "m1" || second.SessionEvent != message.SessionNew || second.TransportMetadata.Raw("k") != "[1]" || extra.Raw("own") != "5" {
		t.Errorf("got %s", second.Encode())
	}
}

// A message is one line, whatever is in it.
func TestMessagesAreLines(t *testing.T) {
	o := start(t)
	m := message.New()
	m.To, m.From, m.Content = "thandi", "9292", "two\nlines"
	loose, err := message.Decode([]byte(strings.ReplaceAll(string(m.Encode()), ", ", ",\n")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Send(within(t), loose); err != nil {
		t.Fatal(err)
	}
	got, err := message.Decode([]byte(o.reads(t)))
	if err != nil || got.Content != m.Content || got.ID != m.ID {
		t.Errorf("read %+v, %v", got, err)
	}
}

// Each wrong line is answered by its number, and the others are taken.
func TestErrorsByLine(t *testing.T) {
	o := start(t, func(tr *Transport) { tr.AnswerLines, tr.FromAddr, tr.MaxLineBytes = true, "", 1024 })
	for _, c := range []struct{ line, answer string }{
		{`hello`, "no JSON object"},
		{`null`, "no JSON object"},
		{`[1]`, "no JSON object"},
		{`{"content": 5, "from_addr": "a"}`, "content is a number"},
		{`{"content": "x"}`, "from_addr is missing"},
		{`{"from_addr": "a", "session_event": "begin"}`, "session_event is"},
		{`{"from_addr": "a", "content": "` + strings.Repeat("x", 1024) + `"}`, "max_line_bytes, 1024"},
		{`{"event_type": "ack", "user_message_id": "m", "sent_message_id": "1"}`, "nobody waits for an answer to"},
		{`{"event_type": "read", "user_message_id": "m"}`, "event_type is"},
		{`{"from_addr": "a", "message_id": "m1"}`, `"message_id":"m1"`},
		{`{"event_type": "delivery_report", "user_message_id": "m", "delivery_status": "delivered"}`, `"message_id":"`},
	} {
		o.writes(t, c.line+"\n")
		if got := o.reads(t); !strings.Contains(got, c.answer) {
			t.Errorf("%.60s was answered with %s, want %s", c.line, got, c.answer)
		}
	}
	if m := o.Next(t); m.ID != "m1" {
		t.Errorf("got %s", m.Encode())
	}
	if e := o.NextEvent(t); e.MessageID != "m" || e.DeliveryStatus != message.Delivered {
		t.Errorf("got %s", e.Encode())
	}
	o.stop()
	if log := o.log.String(); strings.Count(log, "a line was refused") != 9 || !strings.Contains(log, "line=4") {
		t.Errorf("the log says %s", log)
	}
}

// unsteady takes an event the second time.
type unsteady struct {
	*transporttest.Publisher
	failed bool
}

func (u *unsteady) Event(ctx context.Context, e *message.Event) error {
	if !u.failed {
		u.failed = true
		return errors.New("no broker")
	}
	return u.Publisher.Event(ctx, e)
}

func TestADeliveryReportWaitsForTheBroker(t *testing.T) {
	tr, out := New(), &unsteady{Publisher: transporttest.NewPublisher()}
	in, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr.open = func(context.Context) (*ends, error) { return newEnds(in, null), nil }
	stop := transporttest.Start(t, tr, out)
	defer func() {
		stop()
		for _, f := range []*os.File{in, input, null} {
			_ = f.Close()
		}
	}()
	if _, err := io.WriteString(input, `{"event_type": "delivery_report", "user_message_id": "m", "delivery_status": "delivered"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if e := out.NextEvent(t); e.MessageID != "m" {
		t.Errorf("got %s", e.Encode())
	}
}

// The input is read no faster than the broker takes it.
func TestBackPressure(t *testing.T) {
	o := start(t)
	release := o.Hold()
	defer release()
	wrote := make(chan int, 1)
	line := fmt.Sprintf(`{"content": %q}`, strings.Repeat("x", 1000)) + "\n"
	const many = 1000 // more than are published at once, and than fit in the pipe
	go func() {
		n := 0
		for ; n < many; n++ {
			if _, err := io.WriteString(o.input, line); err != nil {
				break
			}
		}
		wrote <- n
	}()
	o.Asked(t)
	select {
	case n := <-wrote:
		t.Fatalf("%d lines were read while the broker took none", n)
	default:
	}
	release()
	for range many {
		o.Next(t)
	}
	if n := <-wrote; n != many {
		t.Errorf("wrote %d lines", n)
	}
}

// When the input ends, what came before is published; the worker goes on sending, or
// ends where that is wished.
func TestEndOfInput(t *testing.T) {
	o := start(t)
	o.writes(t, `{"content": "last words"}`) // without a line end
	_ = o.input.Close()
	if m := o.Next(t); m.Content != "last words" {
		t.Errorf("got %s", m.Encode())
	}
	for s := o.NextStatus(t); s.Type != "eof"; s = o.NextStatus(t) {
	}
	m := message.New()
	m.To, m.Content = "thandi", "still here"
	if _, err := o.Send(within(t), m); err != nil || !strings.Contains(o.reads(t), "still here") {
		t.Errorf("sending after the end of the input: %v", err)
	}

	tr, out := New(), transporttest.NewPublisher()
	tr.StopAtEOF, tr.FromAddr = true, "thandi"
	in, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tr.open = func(context.Context) (*ends, error) { return newEnds(in, os.Stderr), nil }
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(within(t), out) }()
	_, _ = io.WriteString(input, `{"content": "one"}`+"\n"+`{"content": "two"}`+"\n")
	_ = input.Close()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if one, two := out.Next(t), out.Next(t); one.Content != "one" || two.Content != "two" {
		t.Errorf("got %s and %s", one.Encode(), two.Encode())
	}
}

// A program is spoken with, logged, and started again when it ends.
func TestProgram(t *testing.T) {
	tr, out := New(), transporttest.NewPublisher()
	log := &strings.Builder{}
	tr.logger = slog.New(slog.NewTextHandler(log, nil))
	tr.FromAddr, tr.AnswerTimeout = "thandi", options.Duration(transporttest.Patience)
	// It says hello, answers one message, and ends.
	tr.Command = []string{"sh", "-c", `echo '{"content": "hello"}'; echo careful >&2; read line;
		id=$(printf %s "$line" | sed 's/.*"message_id": *"\([^"]*\)".*/\1/'); echo '{"event_type": "ack", "user_message_id": "'$id'", "sent_message_id": "p1"}'`}
	stop := transporttest.Start(t, tr, out)
	for range 2 {
		m := out.Next(t)
		if id, err := tr.Send(within(t), m.Reply("hi")); err != nil || id != "p1" {
			t.Fatalf("sent as %q, %v", id, err)
		}
	}
	stop()
	if text := log.String(); !strings.Contains(text, "line=careful") || !strings.Contains(text, "starting it again") {
		t.Errorf("the log says %s", text)
	}
	var seen []string
	for range 3 {
		seen = append(seen, string(out.NextStatus(t).Health))
	}
	if got := strings.Join(seen, " "); got != "ok down ok" {
		t.Errorf("the statuses were %s", got)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	tr := New()
	tr.Command = []string{"/nowhere/gateway"}
	if err := tr.Run(within(t), transporttest.NewPublisher()); !strings.Contains(fmt.Sprint(err), "/nowhere/gateway") {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Transport){
		"to_addr: must not be empty":    func(tr *Transport) { tr.ToAddr = "" },
		"max_line_bytes: must be":       func(tr *Transport) { tr.MaxLineBytes = 5 },
		"answer_timeout: must not be":   func(tr *Transport) { tr.AnswerTimeout = -1 },
		"command: must begin with a pr": func(tr *Transport) { tr.Command = []string{""} },
	} {
		tr := New()
		change(tr)
		if err := tr.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// FuzzReadLine: whatever comes, lines are what is between line ends, none is longer
// than the limit, and none is lost.
func FuzzReadLine(f *testing.F) {
	f.Add("one\ntwo\r\nthree")
	f.Add(strings.Repeat("x", 100) + "\nshort\n")
	f.Fuzz(func(t *testing.T, input string) {
		const limit = 20
		in := bufio.NewReaderSize(strings.NewReader(input), 16)
		var got []string
		for {
			text, err := readLine(in, limit)
			if len(text) > limit {
				t.Fatalf("a line of %d bytes", len(text))
			}
			if errors.Is(err, errTooLong) {
				text = []byte("too long")
			}
			got = append(got, string(text))
			if errors.Is(err, io.EOF) {
				break
			}
		}
		if want := strings.Split(input, "\n"); len(got) != len(want) && !(len(got) == len(want)+1) {
			t.Fatalf("%q became %q", input, got)
		}
	})
}

// FuzzParse: a line is refused, or becomes what can be read again.
func FuzzParse(f *testing.F) {
	f.Add(`{"content": "hello", "from_addr": "a"}`)
	f.Add(`{"event_type": "nack", "user_message_id": "m", "nack_reason": "no", "retry_after": 1e300}`)
	f.Fuzz(func(t *testing.T, line string) {
		m, e, err := New().parse([]byte(line))
		switch {
		case err != nil:
		case e != nil:
			if _, err := message.DecodeEvent(e.Encode()); err != nil {
				t.Fatal(err)
			}
		default:
			if _, err := message.Decode(m.Message.Encode()); err != nil || !json.Valid(m.Message.Encode()) {
				t.Fatal(err)
			}
		}
	})
}
