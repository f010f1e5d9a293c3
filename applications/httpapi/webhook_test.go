package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/applications/httpapi"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/internal/testutil"
	"switchboard/message"
)

// state is what GET /webhook says.
type state struct {
	Open            bool
	Waiting, Failed int
}

func (b *bundle) state() (s state) {
	b.Helper()
	b.ask("GET", "/webhook", "").into(b, &s)
	return s
}

func (b *bundle) awaitState(want state) {
	b.Helper()
	testutil.Eventually(b, fmt.Sprintf("the webhook is %+v", want), func() bool { return b.state() == want })
}

// The answer may have replies.
func repliesInTheAnswer(b *bundle) {
	b.hook.answers(func(w http.ResponseWriter, n notice) {
		fmt.Fprint(w, map[string]string{
			"text":  "OK",
			"reply": `{"reply": "hello"}`,
			"many":  `{"messages": [{"content": "bye", "session_event": "close"}, {"content": ""}, {"to": "+27830000009", "content": "look", "transport": "` + b.sms() + `"}]}`,
			"wrong": `{"reply": 7}`,
		}[n.Data.Content])
	})
	for _, text := range []string{"text", "wrong", "reply", "many"} {
		b.says(text)
	}
	hello, bye, look := next(b, b.sent), next(b, b.sent), next(b, b.sent)
	if hello.Content != "hello" || hello.To != person || bye.SessionEvent != message.SessionClose || look.To != "+27830000009" {
		b.Errorf("sent %s, %s, %s", hello.Encode(), bye.Encode(), look.Encode())
	}
	b.awaitState(state{})
}

// What the webhook does not take is posted again under the same id, and what the same person
// writes meanwhile comes after it; other people wait for nothing.
func orderBehindAFailure(b *bundle) {
	var mu sync.Mutex
	tries, other := 0, false
	b.hook.answers(func(w http.ResponseWriter, n notice) {
		mu.Lock()
		defer mu.Unlock()
		other = other || n.Data.Content == "other"
		if n.Data.Content == "one" {
			if tries++; tries < 3 || !other {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
	})
	first := b.says("one")
	b.says("two")
	b.says("three")
	b.says("other", func(m *message.Message) { m.From = "+27830000002" })
	var mine []string
	for len(mine) == 0 || mine[len(mine)-1] != "three" {
		n := next(b, b.hook.got)
		if n.Data.Content == "one" && n.ID != first.ID {
			b.Errorf("it came as %s, then as %s", first.ID, n.ID)
		}
		if n.Data.Content != "other" {
			mine = append(mine, n.Data.Content)
		}
	}
	if got := strings.Join(slices.Compact(mine), " "); got != "one two three" {
		b.Errorf("it came as %q", got)
	}
	b.awaitState(state{})
}

// Somebody whose messages the webhook does not take holds up nobody, however many there are,
// and gets them in their order once it does, also where the application started anew.
func TestOneWhoseMessagesFailHoldsUpNobody(t *testing.T) {
	t.Parallel()
	holdsUpNobody(newBundle(t, plain), 250)
}

// That is so where the broker brings few at once, too.
func TestOneWhoseMessagesAreLargeHoldsUpNobody(t *testing.T) {
	t.Parallel()
	p := openEmbedded(t)
	p.broker = narrow{p.broker}
	holdsUpNobody(newBundleIn(t, p, plain), 20)
}

// narrow brings five at once of what waits for the webhook, as RabbitMQ brings fewer where they
// are large.
type narrow struct{ broker.Broker }

func (n narrow) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	if strings.Contains(q.Name, ".webhook.") {
		limit = broker.Fixed(5)
	}
	return n.Broker.ConsumeWithin(ctx, q, limit, handle)
}

func holdsUpNobody(b *bundle, many int) {
	b.hook.answers(func(w http.ResponseWriter, n notice) {
		if n.Data.From == person {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	for i := range many {
		b.says(strconv.Itoa(i))
	}
	b.awaitState(state{Waiting: many})
	neighbour := "+27830000000"
	for i := 1; httpapi.QueueOf(neighbour) != httpapi.QueueOf(person); i++ {
		neighbour = fmt.Sprintf("+2783%07d", i)
	}
	b.says("hello", func(m *message.Message) { m.From = neighbour })
	for next(b, b.hook.got).Data.From != neighbour {
	}
	b.says(strconv.Itoa(many))
	b.awaitState(state{Waiting: many + 1})
	b.stop()
	for len(b.hook.got) > 0 {
		<-b.hook.got
	}
	b.hook.answers(nil)
	b.start(plain)
	b.says(strconv.Itoa(many + 1))
	for i := range many + 2 {
		if n := next(b, b.hook.got); n.Data.Content != strconv.Itoa(i) {
			b.Fatalf("%s came in the place of %d", n.Data.Content, i)
		}
	}
	b.awaitState(state{})
	testutil.Eventually(b, "it waits in no slow queue", func() bool {
		left, err := b.db.Range(b.Context(), "plugin/shop/slow/", "plugin/shop/slow0", 1)
		return err == nil && len(left) == 0
	})
}

// A connection that is lost while a person's messages wait in a slow queue changes nothing in
// their order.
func TestLostConnectionKeepsTheOrder(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	b.hook.answers(func(w http.ResponseWriter, _ notice) { w.WriteHeader(http.StatusInternalServerError) })
	const many, middle = 250, 200
	for i := range many {
		b.says(strconv.Itoa(i))
	}
	testutil.Eventually(t, "it waits in a slow queue", func() bool {
		entries, err := b.db.Range(t.Context(), "plugin/shop/slow/", "plugin/shop/slow0", 1)
		if err != nil || len(entries) == 0 {
			return false
		}
		info, err := b.broker.Inspect(t.Context(), "shop."+entries[0].Value)
		return err == nil && info.Messages == many-100 // and 100 are held
	})
	b.broker.(*memory.Broker).Cut()
	for len(b.hook.got) > 0 {
		<-b.hook.got
	}
	release := make(chan struct{})
	b.hook.answers(func(_ http.ResponseWriter, n notice) {
		if n.Data.Content == strconv.Itoa(middle) {
			<-release
		}
	})
	came := -1
	for came != middle {
		came = b.ordinal(came)
	}
	b.says(strconv.Itoa(many))
	testutil.Eventually(t, "the last waits, or is posted", func() bool { return b.state().Waiting == many-middle+1 || len(b.hook.got) > 0 })
	close(release)
	for came != many {
		came = b.ordinal(came)
	}
	b.awaitState(state{})
}

// ordinal is the number that is posted next: the one after last, or last again where its post
// was in flight.
func (b *bundle) ordinal(last int) int {
	b.Helper()
	n, err := strconv.Atoi(next(b, b.hook.got).Data.Content)
	if err != nil || n != last && n != last+1 {
		b.Fatalf("%d came after %d", n, last)
	}
	return n
}

// What the webhook wants later is not posted sooner.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	var mu sync.Mutex
	var came []time.Time
	b.hook.answers(func(w http.ResponseWriter, _ notice) {
		mu.Lock()
		defer mu.Unlock()
		if came = append(came, time.Now()); len(came) == 1 {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	b.says("hello")
	next(b, b.hook.got)
	next(b, b.hook.got)
	b.awaitState(state{})
	mu.Lock()
	defer mu.Unlock()
	if waited := came[1].Sub(came[0]); waited < 2*time.Second {
		t.Errorf("it came again after %s", waited)
	}
}

// A webhook that takes nothing is left alone for a while; then all comes, in its order, also
// where the application started anew meanwhile.
func TestBreaker(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	b.hook.answers(func(w http.ResponseWriter, _ notice) { w.WriteHeader(http.StatusServiceUnavailable) })
	const people = 10
	for i := range people {
		for _, text := range []string{"one", "two"} {
			b.says(text, func(m *message.Message) { m.From = fmt.Sprintf("+2783000000%d", i) })
		}
	}
	b.awaitState(state{Open: true, Waiting: 2 * people})
	b.stop()
	for len(b.hook.got) > 0 {
		<-b.hook.got
	}
	b.hook.answers(nil)
	b.start(plain)
	seen := map[string]string{}
	for range 2 * people {
		n := next(b, b.hook.got)
		seen[n.Data.From] += n.Data.Content + " "
	}
	for from, order := range seen {
		if order != "one two " {
			t.Errorf("%s: %s", from, order)
		}
	}
	b.awaitState(state{})
}

// What the webhook refuses, redirects, or does not take in time is a dead letter with the
// reason, and is posted again when somebody asks for it.
func deadLetters(b *bundle) {
	b.hook.answers(func(w http.ResponseWriter, n notice) {
		switch n.Data.Content {
		case "refused":
			w.WriteHeader(http.StatusUnprocessableEntity)
		case "redirected":
			w.Header().Set("Location", b.hook.URL+"/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "failed":
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	for _, text := range []string{"refused", "redirected", "failed"} {
		b.says(text, func(m *message.Message) { m.From = "+2783" + text })
	}
	b.awaitState(state{Failed: 3})
	for len(b.hook.got) > 0 {
		<-b.hook.got
	}
	b.hook.answers(nil)
	retry := func(filter string) string { return b.ask("POST", "/webhook/retry", filter).body }
	if got := retry(`{"error": "redirects are not followed"}`); got != `{"retried":1}`+"\n" {
		b.Errorf("retried %s", got)
	}
	if n := next(b, b.hook.got); n.Data.Content != "redirected" {
		b.Errorf("came %+v", n)
	}
	if got := retry(`{"error": "given up after retry_for"}`); got != `{"retried":1}`+"\n" {
		b.Errorf("retried %s", got)
	}
	next(b, b.hook.got)
	if got := retry(`{}`); got != `{"retried":1}`+"\n" {
		b.Errorf("retried %s", got)
	}
	next(b, b.hook.got)
	b.awaitState(state{})
	b.problem(b.ask("POST", "/webhook/retry", `{"colour": "red"}`), 400, "invalid")
}

// A webhook that hangs, or answers without an end, costs a bounded time and memory, and its
// message is tried again.
func TestHangingAndEndlessAnswers(t *testing.T) {
	t.Parallel()
	b := newBundle(t, strings.Replace(plain, "secret:", "timeout: 300ms, secret:", 1))
	var mu sync.Mutex
	tries := map[string]int{}
	written := 0
	b.hook.answers(func(w http.ResponseWriter, n notice) {
		mu.Lock()
		tries[n.Data.Content]++
		first := tries[n.Data.Content] == 1
		mu.Unlock()
		switch {
		case !first:
		case n.Data.Content == "hang":
			<-n.gone
		case n.Data.Content == "endless":
			chunk := bytes.Repeat([]byte("a"), 1<<20)
			for range 100 {
				size, err := w.Write(chunk)
				mu.Lock()
				written += size
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}
	})
	b.says("hang", func(m *message.Message) { m.From = "+27830000001" })
	b.says("endless", func(m *message.Message) { m.From = "+27830000002" })
	testutil.Eventually(t, "both were taken", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return tries["hang"] >= 2 && tries["endless"] >= 2
	})
	b.awaitState(state{})
	mu.Lock()
	defer mu.Unlock()
	if written > 50<<20 {
		t.Errorf("%d bytes of the endless answer were read", written)
	}
}

// A private address is refused where the file does not allow it.
func TestPrivateWebhook(t *testing.T) {
	t.Parallel()
	b := newBundle(t, strings.Replace(plain, "allow_private: true", "", 1))
	b.says("hello")
	b.awaitState(state{Failed: 1})
	if len(b.hook.got) != 0 {
		t.Error("it was posted")
	}
}

// An event that the webhook does not want to hear of is taken, and not posted.
func TestMessagesOnly(t *testing.T) {
	t.Parallel()
	yaml := strings.Replace(plain, "secret:", "messages_only: true, secret:", 1)
	b := newBundle(t, yaml)
	b.post(`{"to": "1", "content": "a", "transport": "sms"}`)
	sent := next(b, b.sent)
	b.stop()
	events := func(want int) func() bool {
		return func() bool {
			info, err := b.broker.Inspect(t.Context(), "shop.event")
			return err == nil && info.Messages == want
		}
	}
	b.reports(message.NewAck(sent, "1"))
	testutil.Eventually(t, "the event is in the application's queue", events(1))
	b.start(yaml)
	testutil.Eventually(t, "the application takes it", events(0))
	b.says("hello")
	if n := next(b, b.hook.got); n.Type != "message" {
		t.Errorf("came %+v", n)
	}
	b.awaitState(state{})
	b.stop() // with all that it has begun done
	if !events(0)() || len(b.hook.got) != 0 {
		t.Errorf("the event is in its queue again, or came: %d posts more", len(b.hook.got))
	}
}
