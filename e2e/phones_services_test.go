//go:build services

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"switchboard/smpp/simulator"
)

// phonePage is the page of an httptester, whose events it reads from when it was opened.
type phonePage struct {
	t      *testing.T
	url    string
	events *bufio.Scanner
}

func openPhonePage(t *testing.T, port string) *phonePage {
	t.Helper()
	p := &phonePage{t: t, url: "http://127.0.0.1:" + port + "/"}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	events, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = events.Body.Close() })
	p.events = bufio.NewScanner(events.Body)
	return p
}

func (p *phonePage) say(from, text string) {
	p.t.Helper()
	answer, err := http.PostForm(p.url+"messages", url.Values{"from": {from}, "content": {text}})
	if err != nil {
		p.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		p.t.Fatalf("the page answered %s", answer.Status)
	}
}

// read is the text of the next message that came to a phone.
func (p *phonePage) read(phone string) string {
	p.t.Helper()
	for p.events.Scan() {
		var entry struct{ Flow, Phone, Content string }
		data, is := strings.CutPrefix(p.events.Text(), "data: ")
		if is && json.Unmarshal([]byte(data), &entry) == nil && entry.Flow == "outbound" && entry.Phone == phone {
			return entry.Content
		}
	}
	p.t.Fatalf("the page's events ended: %v", p.events.Err())
	return ""
}

// smsPhone is the phone of +27831234567, at an SMSC of its own.
type smsPhone struct {
	t    *testing.T
	smsc *simulator.SMSC
	seen int // submits that were read
}

func newSMSPhone(t *testing.T) *smsPhone {
	t.Helper()
	smsc, err := simulator.Start(simulator.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = smsc.Close() })
	return &smsPhone{t: t, smsc: smsc}
}

func (p *smsPhone) say(text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.smsc.Deliver(ctx, simulator.Incoming{From: "27831234567", To: "12345", Text: text}); err != nil {
		p.t.Fatal(err)
	}
}

// read is the text of the next message that is submitted to the SMSC.
func (p *smsPhone) read() string {
	p.t.Helper()
	var all []simulator.Received
	eventually(p.t, "an SMS is submitted", func() bool {
		all = p.smsc.Submitted()
		return len(all) > p.seen
	})
	p.seen++
	return all[p.seen-1].Text()
}
