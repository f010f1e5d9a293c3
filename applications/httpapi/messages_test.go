package httpapi_test

import (
	"net/http"
	"testing"

	"switchboard/internal/testutil"
	"switchboard/message"
)

// A message is posted and goes out; what became of it, and what the person writes, comes to
// the webhook; the record has all of it.
func TestConversation(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	id := b.post(`{"to": "` + person + `", "from": "8080", "content": "Hello", "transport": "sms", "metadata": {"order": 7}}`)
	m := <-b.sent
	if m.ID != id || m.To != person || m.From != "8080" || m.Content != "Hello" || m.HelperMetadata.Raw("order") != "7" {
		t.Errorf("the transport got %s", m.Encode())
	}
	ack := message.NewAck(m, "smsc-1")
	b.reports(ack)
	if n := <-b.hook.got; n.Type != "event" || n.ID != ack.ID || n.header.Get("Webhook-Id") != ack.ID || n.Data.MessageID != id || n.Data.Type != "ack" {
		t.Errorf("the webhook got %+v", n)
	}
	said := b.says("Hi")
	if n := <-b.hook.got; n.Type != "message" || n.ID != said.ID || n.Data.From != person || n.Data.To != "8080" || n.Data.Content != "Hi" {
		t.Errorf("the webhook got %+v", n)
	}
	reply := b.post(`{"reply_to": "` + said.ID + `", "content": "How are you?"}`)
	if m := <-b.sent; m.ID != reply || m.InReplyTo != said.ID || m.To != person || m.From != "8080" {
		t.Errorf("the transport got %s", m.Encode())
	}
	var found struct {
		ID, Direction, State, Content string
		Events                        []struct{ Type, ProviderID string }
	}
	testutil.Eventually(t, "the message and its ack are in the record", func() bool {
		a := b.ask("GET", "/messages/"+id, "")
		if a.status != http.StatusOK {
			return false
		}
		a.into(t, &found)
		return len(found.Events) == 1 && found.State == "sent"
	})
	if found.ID != id || found.Direction != "out" || found.Content != "Hello" || found.Events[0].Type != "ack" {
		t.Errorf("the record has %+v", found)
	}
	testutil.Eventually(t, "the person's message is processed", func() bool {
		a := b.ask("GET", "/messages/"+said.ID, "")
		if a.status == http.StatusOK {
			a.into(t, &found)
		}
		return found.Direction == "in" && found.State == "processed"
	})
}
