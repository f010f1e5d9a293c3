package devnull

import (
	"context"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/transports/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(*testing.T) *transporttest.Outside {
		tr := New()
		tr.DeliveryReports = false
		return &transporttest.Outside{Transport: tr, Meet: map[transporttest.Outcome]func(){
			transporttest.Permanent: func() { tr.AckRate = 0 },
		}}
	})
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func outgoing() *message.Message {
	m := message.New()
	m.To, m.From, m.Content = "+27831234567", "9292", "hello"
	return m
}

// What becomes of a message is published in the order it happens.
func TestWhatBecomesOfAMessage(t *testing.T) {
	for _, c := range []struct {
		name    string
		options func(*Transport)
		status  message.DeliveryStatus
		reply   string
	}{
		{"delivered", func(*Transport) {}, message.Delivered, ""},
		{"failed", func(tr *Transport) { tr.FailureRate = 1 }, message.Failed, ""},
		{"answered with an echo", func(tr *Transport) { tr.ReplyRate = 1 }, message.Delivered, "hello"},
		{"answered", func(tr *Transport) { tr.ReplyRate, tr.ReplyCopy = 1, "thanks" }, message.Delivered, "thanks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, out := New(), transporttest.NewPublisher()
			c.options(tr)
			transporttest.Start(t, tr, out)
			m := outgoing()
			id, err := tr.Send(within(t), m)
			if err != nil || id == "" {
				t.Fatalf("sent as %q, %v", id, err)
			}
			if e := out.NextEvent(t); e.Type != message.Ack || e.SentMessageID != id || e.MessageID != m.ID {
				t.Errorf("first %s", e.Encode())
			}
			if e := out.NextEvent(t); e.DeliveryStatus != c.status {
				t.Errorf("then %s", e.Encode())
			}
			if c.reply == "" {
				return
			}
			if r := out.Next(t); r.Content != c.reply || r.From != m.To || r.To != m.From || r.Provider != "devnull" || r.TransportType != "sms" {
				t.Errorf("and at last %s", r.Encode())
			}
		})
	}
}

// A rate is kept over many messages.
func TestRates(t *testing.T) {
	tr, out := New(), transporttest.NewPublisher()
	tr.AckRate, tr.DeliveryReports = 0.8, false
	transporttest.Start(t, tr, out)
	refused := 0
	const many = 10_000
	for range many {
		_, err := tr.Send(within(t), outgoing())
		if err != nil && (!message.IsPermanent(err) || err.Error() != "Not accepted by network") {
			t.Fatal(err)
		}
		if err != nil {
			refused++
		}
	}
	if refused < many*15/100 || refused > many*25/100 {
		t.Errorf("%d of %d were refused, want about a fifth", refused, many)
	}
}

func TestValidate(t *testing.T) {
	for key, change := range map[string]func(*Transport){
		"ack_rate":     func(tr *Transport) { tr.AckRate = 1.1 },
		"failure_rate": func(tr *Transport) { tr.FailureRate = -0.1 },
		"reply_rate":   func(tr *Transport) { tr.ReplyRate = 2 },
	} {
		tr := New()
		change(tr)
		if err := tr.Validate(); err == nil || !strings.Contains(err.Error(), key+": must be between 0 and 1") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
