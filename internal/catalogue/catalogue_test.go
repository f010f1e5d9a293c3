package catalogue

import (
	"strings"
	"testing"
)

func TestEveryEntryIsComplete(t *testing.T) {
	all := SMPP()
	if len(all) < 70 {
		t.Errorf("there are %d entries", len(all))
	}
	for code, p := range all {
		if p.Class == "" || !strings.HasSuffix(p.Text, ".") || !strings.HasSuffix(p.Do, ".") {
			t.Errorf("%s: %+v lacks something, or is no sentence", code, p)
		}
	}
}

func TestReceipt(t *testing.T) {
	for _, c := range []struct {
		word, code, want string
		known            bool
	}{
		{"UNDELIV", "001", "The number does not exist.", true},
		{"undeliv", "000", "The message could not be delivered.", true},
		{"UNDELIV", "0FF", "The message could not be delivered.", true},
		{"EXPIRED", "", "The phone was off or out of reach for as long as the message was valid.", true},
		{"SOMETHING", "", "", false},
	} {
		if p, known := Receipt(c.word, c.code); p.Text != c.want || known != c.known {
			t.Errorf("%s %s: %+v, %v", c.word, c.code, p, known)
		}
	}
}

func TestSentence(t *testing.T) {
	p := Problem{Text: "The text.", Do: "Shorten it."}
	if got := p.Sentence("7", strings.Repeat("é", 300)); got != "7: The text. Shorten it. (The provider says: "+strings.Repeat("é", maxDetail)+")" {
		t.Errorf("got %s", got)
	}
	if got := (Problem{}).Sentence("", ""); got != "no reason was given" {
		t.Errorf("got %s", got)
	}
}
