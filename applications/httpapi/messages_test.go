package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker/optouts"
)

// A message is posted and goes out; what became of it, and what the person writes, comes to
// the webhook; the record has all of it.
func conversation(b *bundle) {
	id := b.post(`{"to": "` + person + `", "from": "8080", "content": "Hello", "transport": "` + b.sms() + `", "metadata": {"order": 7}}`)
	m := next(b, b.sent)
	if m.ID != id || m.To != person || m.From != "8080" || m.Content != "Hello" || m.HelperMetadata.Raw("order") != "7" {
		b.Errorf("the transport got %s", m.Encode())
	}
	ack := message.NewAck(m, "smsc-1")
	b.reports(ack)
	if n := next(b, b.hook.got); n.Type != "event" || n.ID != ack.ID || n.header.Get("Webhook-Id") != ack.ID || n.Data.MessageID != id || n.Data.Type != "ack" {
		b.Errorf("the webhook got %+v", n)
	}
	said := b.says("Hi")
	if n := next(b, b.hook.got); n.Type != "message" || n.ID != said.ID || n.Data.From != person || n.Data.To != "8080" || n.Data.Content != "Hi" {
		b.Errorf("the webhook got %+v", n)
	}
	reply := b.post(`{"reply_to": "` + said.ID + `", "content": "How are you?"}`)
	if m := next(b, b.sent); m.ID != reply || m.InReplyTo != said.ID || m.To != person || m.From != "8080" {
		b.Errorf("the transport got %s", m.Encode())
	}
	var found struct {
		ID, Direction, State, Content string
		Events                        []struct{ Type, ProviderID string }
	}
	testutil.Eventually(b, "the message and its ack are in the record", func() bool {
		a := b.ask("GET", "/messages/"+id, "")
		if a.status != http.StatusOK {
			return false
		}
		a.into(b, &found)
		return len(found.Events) == 1 && found.State == "sent"
	})
	if found.ID != id || found.Direction != "out" || found.Content != "Hello" || found.Events[0].Type != "ack" {
		b.Errorf("the record has %+v", found)
	}
	testutil.Eventually(b, "the person's message is processed", func() bool {
		a := b.ask("GET", "/messages/"+said.ID, "")
		if a.status == http.StatusOK {
			a.into(b, &found)
		}
		return found.Direction == "in" && found.State == "processed"
	})
}

// What is sent by one request is valid altogether, or not sent.
func TestMany(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	a := b.ask("POST", "/messages", `[{"to": "1", "content": "a", "transport": "sms"}, {"to": "2", "content": "b", "transport": "sms"}]`)
	var ids []struct{ ID string }
	a.into(t, &ids)
	if one, two := next(b, b.sent), next(b, b.sent); len(ids) != 2 || ids[0].ID != one.ID || ids[1].ID != two.ID || two.Content != "b" {
		t.Errorf("answered %s, and sent %s and %s", a.body, one.ID, two.ID)
	}
	a = b.ask("POST", "/messages", `[{"to": "1", "content": "a", "transport": "sms"}, {"to": "2", "content": "b", "transport": "pigeon"}]`)
	b.problem(a, 400, "invalid")
	if !strings.Contains(a.body, `"pointer":"/1/transport"`) || len(b.sent) != 0 {
		t.Errorf("answered %s, and sent %d", a.body, len(b.sent))
	}
	const small = `[{"to": "1", "content": "a", "transport": "sms"}, `
	a = b.ask("POST", "/messages", small+`{"to": "2", "content": "b", "transport": "sms", "metadata": {"a": "`+strings.Repeat("a", 1<<20-300)+`"}}]`)
	if b.problem(a, 400, "invalid"); !strings.Contains(a.body, `"pointer":"/1"`) {
		t.Errorf("one that is too large: answered %s", a.body)
	}
	if err := b.db.OptOut(t.Context(), store.Address{Backend: "sms", Identity: "+27830000002"}, true); err != nil {
		t.Fatal(err)
	}
	later := `"content": "b", "transport": "sms", "send_at": "` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`
	a = b.ask("POST", "/messages", small+`{"to": "+27830000001", `+later+`, {"to": "+27830000002", `+later+`]`)
	if b.problem(a, 400, "invalid"); !strings.Contains(a.body, `"pointer":"/2/recipients"`) {
		t.Errorf("one that opted out: answered %s", a.body)
	}
	if all, err := b.db.List(t.Context(), 10); err != nil || len(all) != 1 || all[0].State == store.BroadcastRunning {
		t.Errorf("scheduled are %+v, %v", all, err)
	}
	if id := b.post(`{"to": "3", "content": "c", "transport": "sms"}`); next(b, b.sent).ID != id {
		t.Error("of several that are not all valid some were sent")
	}
}

// A request that is repeated with its key is answered as the first, and sends nothing more.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	const body = `{"to": "1", "content": "a", "transport": "sms"}`
	id := b.post(body, "Idempotency-Key", "k1")
	a := b.ask("POST", "/messages", body, "Idempotency-Key", "k1")
	if a.status != 202 || !strings.Contains(a.body, id) || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("answered %d %s %v", a.status, a.body, a.header)
	}
	b.problem(b.ask("POST", "/messages", `{"to": "2", "content": "a"}`, "Idempotency-Key", "k1"), 422, "key-reused")
	b.problem(b.ask("POST", "/messages", `{"to": "2"}`, "Idempotency-Key", "k2"), 400, "invalid")
	if next := b.post(body, "Idempotency-Key", "k2"); next == id { // what was not valid left no trace
		t.Error("another key has the first one's answer")
	}
	if one, two := next(b, b.sent), next(b, b.sent); one.ID != id || two.ID == id || len(b.sent) != 0 {
		t.Errorf("sent %s, %s and %d more", one.ID, two.ID, len(b.sent))
	}
}

func replies(b *bundle) {
	b.problem(b.ask("POST", "/messages", `{"reply_to": "nothing", "content": "a"}`), 422, "unknown-reply")
	ussd := func(kind message.SessionEvent) func(*message.Message) {
		return func(m *message.Message) { m.SessionEvent, m.TransportType = kind, "ussd" }
	}
	begun := b.says("*120#", ussd(message.SessionNew))
	next(b, b.hook.got)
	b.post(`{"reply_to": "` + begun.ID + `", "content": "Your name?"}`)
	b.says("", ussd(message.SessionClose))
	next(b, b.hook.got)
	b.problem(b.ask("POST", "/messages", `{"reply_to": "`+begun.ID+`", "content": "Are you there?"}`), 409, "session-closed")
	again := b.says("*120#", ussd(message.SessionNew))
	next(b, b.hook.got)
	b.post(`{"reply_to": "` + again.ID + `", "content": "Bye", "session_event": "close"}`)
	b.problem(b.ask("POST", "/messages", `{"reply_to": "`+again.ID+`", "content": "One more"}`), 409, "session-closed")
	if one, two := next(b, b.sent), next(b, b.sent); one.Content != "Your name?" || two.SessionEvent != message.SessionClose || len(b.sent) != 0 {
		b.Errorf("sent %s and %s", one.Encode(), two.Encode())
	}
}

// A search is paged, and finds the application's messages alone.
func TestSearch(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	for _, text := range []string{"one", "two", "three"} {
		b.post(`{"to": "` + person + `", "content": "` + text + `", "transport": "sms"}`)
	}
	foreign := message.New()
	foreign.To, foreign.Content, foreign.TransportName = person, "four", "sms"
	b.publish(&message.Envelope{Flow: message.Outbound, Connector: "sms", Message: foreign})
	type page struct {
		Messages []struct{ ID, Content string }
		Next     string
	}
	var first, second page
	testutil.Eventually(t, "all is in the record", func() bool {
		_, err := b.db.Trace(t.Context(), foreign.ID)
		b.ask("GET", "/messages?limit=2&direction=out&address="+url.QueryEscape(person), "").into(t, &first)
		if first.Next == "" || err != nil {
			return false
		}
		b.ask("GET", "/messages?limit=2&direction=out&cursor="+first.Next, "").into(t, &second)
		return len(first.Messages) == 2 && len(second.Messages) == 1
	})
	if first.Messages[0].Content != "three" || second.Messages[0].Content != "one" || second.Next != "" {
		t.Errorf("found %+v, then %+v", first, second)
	}
	b.problem(b.ask("GET", "/messages/"+foreign.ID, ""), 404, "not-found")
	b.ask("GET", "/messages?state=passing&text=TW&since=2020-01-01T00:00:00Z", "").into(t, &first)
	if len(first.Messages) != 1 || first.Messages[0].Content != "two" {
		t.Errorf("found %+v", first)
	}
	for _, query := range []string{"state=lost", "since=yesterday", "limit=0", "cursor=x", "colour=red", "direction=up", "broadcast=-1"} {
		b.problem(b.ask("GET", "/messages?"+query, ""), 400, "invalid")
	}
}

// Broadcasts and scheduled messages are the persistence workers', and the application's own
// are seen alone.
func TestBroadcasts(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	var made struct {
		ID, Total, Duplicates int64
	}
	a := b.ask("POST", "/broadcasts", `{"name": "sale", "transport": "sms", "content": "Hi {{name}}", "from": "8080",
		"recipients": [{"address": "+27830000001", "fields": {"name": "Ann"}}, {"address": "+27830000002", "fields": {"name": "Ben"}}, {"address": "+27 83 000 0001", "fields": {"name": "Ann"}}]}`,
		"Idempotency-Key", "b1")
	if a.into(t, &made); made.Total != 2 || made.Duplicates != 1 {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	texts := []string{next(b, b.sent).Content, next(b, b.sent).Content}
	slices.Sort(texts)
	if !slices.Equal(texts, []string{"Hi Ann", "Hi Ben"}) {
		t.Errorf("sent %q", texts)
	}
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	var scheduled struct {
		ID        string
		Broadcast int64
	}
	b.ask("POST", "/messages", `{"to": "+27830000003", "content": "Later", "transport": "sms", "send_at": "`+later+`"}`).into(t, &scheduled)
	var found struct{ ID, State, Content string }
	b.ask("GET", "/messages/"+scheduled.ID, "").into(t, &found)
	if found.State != "queued" || found.Content != "Later" || scheduled.Broadcast == 0 {
		t.Errorf("scheduled %+v: %+v", scheduled, found)
	}
	path := fmt.Sprintf("/broadcasts/%d", scheduled.Broadcast)
	for _, turn := range []struct{ method, path, want string }{
		{"GET", path, "scheduled"}, {"POST", path + "/pause", "paused"}, {"POST", path + "/resume", "scheduled"}, {"POST", path + "/cancel", "cancelled"},
	} {
		var info struct{ State string }
		a := b.ask(turn.method, turn.path, "")
		a.into(t, &info)
		if info.State != turn.want && (turn.want != "cancelled" || info.State != "done") {
			t.Errorf("%s %s: %d %s, want %s", turn.method, turn.path, a.status, a.body, turn.want)
		}
	}
	var foreign store.Created
	for range 501 { // of others in the fleet, more than are listed
		var err error
		foreign, err = b.db.Create(t.Context(), store.Broadcast{Text: "x"}, func(yield func(store.Recipient, error) bool) {
			yield(store.Recipient{Address: store.Address{Backend: "sms", Identity: "1"}}, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.problem(b.ask("GET", fmt.Sprintf("/broadcasts/%d", foreign.ID), ""), 404, "not-found")
	var list struct{ Broadcasts []struct{ Name string } }
	b.ask("GET", "/broadcasts", "").into(t, &list)
	if len(list.Broadcasts) != 2 || list.Broadcasts[1].Name != "sale" {
		t.Errorf("listed %+v", list)
	}
	var page struct{ Messages []struct{ Content string } }
	b.ask("GET", fmt.Sprintf("/messages?broadcast=%d", made.ID), "").into(t, &page)
	if len(page.Messages) != 2 {
		t.Errorf("the broadcast has %+v", page)
	}
	b.ask("GET", fmt.Sprintf("/messages?broadcast=%d", foreign.ID), "").into(t, &page)
	if len(page.Messages) != 0 {
		t.Errorf("another's broadcast has %+v", page)
	}
	for _, body := range []string{
		`{}`, `{"transport": "sms", "content": "a", "recipients": []}`, `{"transport": "pigeon", "content": "a", "recipients": ["1"]}`, `{"transport": "sms", "content": "a", "recipients": [{"adress": "1"}]}`,
		`{"transport": "sms", "content": "Hi {{name}}", "recipients": ["1"]}`, `{"transport": "sms", "content": "a", "rate": -1, "recipients": ["1"]}`,
	} {
		b.problem(b.ask("POST", "/broadcasts", body), 400, "invalid")
	}
	b.problem(b.ask("POST", path+"/explode", ""), 404, "not-found")
	b.problem(b.ask("POST", "/broadcasts", `{"transport": "pigeon", "content": "a", "recipients": ["1"]}`, "Idempotency-Key", "b2"), 400, "invalid")
	a = b.ask("POST", "/broadcasts", `{"transport": "sms", "content": "a", "recipients": ["+27830000004"]}`, "Idempotency-Key", "b2")
	if a.status != http.StatusAccepted {
		t.Errorf("what was not valid has used its key up: answered %d %s", a.status, a.body)
	}
}

// A channel is as its transport says.
func TestChannels(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	health := func() string {
		var all struct {
			Channels []struct{ Name, Health string }
		}
		b.ask("GET", "/channels", "").into(t, &all)
		if len(all.Channels) != 1 || all.Channels[0].Name != "sms" {
			t.Fatalf("the channels are %+v", all)
		}
		return all.Channels[0].Health
	}
	if got := health(); got != "ok" {
		t.Errorf("it is %s", got)
	}
	status := message.NewStatus("smsc", message.Down, "unbound", "The SMSC is away.")
	if err := b.broker.Publish(t.Context(), broker.Publication{Key: "sms.status.status", Body: status.Encode()}); err != nil {
		t.Fatal(err)
	}
	testutil.Eventually(t, "the channel is down", func() bool { return health() == "down" })
}

// A program looks after the list that the opt_out middleware keeps.
func TestOptOuts(t *testing.T) {
	t.Parallel()
	b := newBundle(t, strings.Replace(plain, "retry]", "retry, optouts]", 1)+"opt_out_list: default\ncountry: ZA\n")
	list := func(query string) (people []string, cursor string) {
		var page struct {
			OptOuts []struct{ Address, Our, Why string }
			Cursor  string
		}
		b.ask("GET", "/optouts"+query, "").into(t, &page)
		for _, p := range page.OptOuts {
			people = append(people, p.Our+"/"+p.Address+" "+p.Why)
		}
		return people, page.Cursor
	}
	if people, _ := list(""); len(people) != 0 {
		t.Errorf("on the list are %q", people)
	}
	for _, path := range []string{"/optouts/0831234567", "/optouts/%2B27820000001", "/optouts/+27820000002?our=8080"} {
		if a := b.ask("PUT", path, ""); a.status != 200 || a.body != `{"opted_out":true}`+"\n" {
			t.Errorf("PUT %s: %d %s", path, a.status, a.body)
		}
	}
	first, cursor := list("?limit=2")
	rest, end := list("?limit=2&cursor=" + url.QueryEscape(cursor))
	if !slices.Equal(first, []string{"/27820000001 program", "/27831234567 program"}) || cursor == "" || !slices.Equal(rest, []string{"8080/27820000002 program"}) || end != "" {
		t.Errorf("on the list are %q with cursor %q, then %q with %q", first, cursor, rest, end)
	}
	// Another worker's middleware has the same list, and broadcasts know it.
	known, err := optouts.Open(b.db, "default", "ZA")
	if err != nil {
		t.Fatal(err)
	}
	if err := known.Remove(t.Context(), "+27820000001"); err != nil {
		t.Error(err)
	}
	b.problem(b.ask("POST", "/broadcasts", `{"transport": "sms", "content": "a", "recipients": ["+27831234567"]}`), 400, "invalid")
	if a := b.ask("DELETE", "/optouts/27831234567", ""); a.status != 200 || a.body != `{"opted_out":false}`+"\n" {
		t.Errorf("DELETE: %d %s", a.status, a.body)
	}
	if a := b.ask("POST", "/broadcasts", `{"transport": "sms", "content": "a", "recipients": ["+27831234567"]}`); a.status != 202 {
		t.Errorf("a broadcast to somebody who came back: %d %s", a.status, a.body)
	}
	b.problem(b.ask("DELETE", "/optouts/27831234567", ""), 404, "not-found")
	b.problem(b.ask("GET", "/optouts?limit=0", ""), 400, "invalid")
	b.stop()
	b.start(strings.Replace(plain, "retry]", "retry, optouts]", 1))
	b.problem(b.ask("GET", "/optouts", ""), 404, "not-found")
	b.stop()
	b.start(plain + "opt_out_list: default\n")
	b.problem(b.ask("PUT", "/optouts/1", ""), 403, "forbidden")
}

// failing is a database in which the next change of who wants broadcasts fails.
type failing struct {
	store.Database
	fail *atomic.Bool
}

func (f failing) OptOut(ctx context.Context, a store.Address, out bool) error {
	if f.fail.Swap(false) {
		return errors.New("the database is away")
	}
	return f.Database.OptOut(ctx, a, out)
}

// A request that has failed half-way can be repeated.
func TestOptOutsThatFailHalfWay(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	p := openEmbedded(t)
	p.db = failing{p.db, &fail}
	b := newBundleIn(t, p, strings.Replace(plain, "retry]", "retry, optouts]", 1)+"opt_out_list: default\n")
	for _, method := range []string{"PUT", "DELETE"} {
		fail.Store(true)
		if a := b.ask(method, "/optouts/27831234567", ""); a.status != 503 {
			t.Errorf("%s: %d %s", method, a.status, a.body)
		}
		if a := b.ask(method, "/optouts/27831234567", ""); a.status != 200 {
			t.Errorf("%s again: %d %s", method, a.status, a.body)
		}
	}
	if a := b.ask("POST", "/broadcasts", `{"transport": "sms", "content": "a", "recipients": ["27831234567"]}`); a.status != 202 {
		t.Errorf("a broadcast to somebody who came back: %d %s", a.status, a.body)
	}
}
