package explain_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/operate/explain"
)

func TestSampleLines(t *testing.T) {
	m := message.New()
	m.TransportName = "sms"
	body := string(m.Encode())
	ack := string(message.NewAck(m, "1").Encode())
	for line, want := range map[string]string{
		body: "sms.inbound",
		ack:  "sms.event",
		`{"flow": "outbound", "connector": "app", "body": ` + body + `}`: "app.outbound",
		`{"connector": "other", "body": ` + ack + `}`:                    "other.event",
		"[]":                  "error: line 2: reading JSON",
		`{"message_id": "1"}`: "error: line 2: ",
		strings.Replace(body, `"sms"`, "null", 1): "error: line 2: it has no transport_name",
	} {
		s := explain.NewSample(strings.NewReader("\n" + line + "\n"))
		e, err := s.Next()
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = e.Key()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: then %v", line, err)
		}
	}
}

// Whatever a sample holds, reading it ends, and says what it could not read.
func FuzzSample(f *testing.F) {
	m := message.New()
	m.TransportName = "sms"
	f.Add(string(m.Encode()))
	f.Add(`{"flow": "outbound", "connector": "app", "body": {}}`)
	f.Add("{}\n[1]\nnull\n\"x\"\n{\"body\": null}")
	f.Fuzz(func(t *testing.T, text string) {
		s := explain.NewSample(strings.NewReader(text))
		for range strings.Count(text, "\n") + 2 {
			e, err := s.Next()
			var line *explain.LineError
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil && !errors.As(err, &line):
				t.Fatalf("an error of no line: %v", err)
			case err == nil && e.Connector == "":
				t.Fatal("a message from nowhere")
			}
		}
		t.Fatal("reading does not end")
	})
}
