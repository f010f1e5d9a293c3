package explain_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/operate/explain"
)

func TestCompare(t *testing.T) {
	changed := maps.Clone(chained)
	changed["words.yaml"] = strings.Replace(strings.Replace(chained["words.yaml"], "fallback_application: helpdesk\n", "", 1), "join,", "come,", 1)
	old, err := classes().Load(write(t, chained))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := classes().Load(write(t, changed))
	if err != nil {
		t.Fatal(err)
	}
	var sample strings.Builder
	add := func(n int, content, transport string) {
		for range n {
			m := message.New()
			m.From, m.To, m.Content, m.TransportName = "+27831234567", "12345", content, transport
			sample.Write(m.Encode())
			sample.WriteString("\n")
		}
	}
	add(3, "join", "smpp_za")
	add(2, "come", "smpp_ke")
	add(12_000, "what", "smpp_ke")
	add(1, "join", "pigeon")
	sample.WriteString("nonsense\n\n{}\n")
	out := message.New()
	out.From, out.To = "12345", "+27831234567"
	_, _ = fmt.Fprintf(&sample, `{"flow": "outbound", "connector": "joiner", "body": %s}`, out.Encode())

	d, err := explain.NewComparer(classes(), old, fresh).Compare(t.Context(), explain.NewSample(strings.NewReader(sample.String())))
	if err != nil {
		t.Fatal(err)
	}
	if d.Messages != 12_007 || d.Same != 2 || d.Elsewhere != 2 || d.Stuck != 12_003 || d.StuckBefore != 1 || d.Unreadable != 2 || d.Freed != 0 {
		t.Errorf("%+v", d)
	}
	var moves []string
	for _, m := range d.Moves {
		moves = append(moves, fmt.Sprintf("%d %s: %s → %s", m.Count, m.By, m.From, m.To))
	}
	want := []string{
		"12000 smpp_ke.inbound: helpdesk.inbound → (nowhere)",
		"3 smpp_za.inbound: joiner.inbound → (nowhere)",
		"2 smpp_ke.inbound: helpdesk.inbound → joiner.inbound",
	}
	if strings.Join(moves, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(moves, "\n"))
	}
}
