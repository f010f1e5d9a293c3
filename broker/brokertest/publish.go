package brokertest

import (
	"bytes"
	"context"
	"strings"

	"github.com/google/go-cmp/cmp"

	"switchboard/broker"
)

var publishTests = map[string]func(*world){
	"publish/a confirmed body outlives its publisher":     publishedIsSafe,
	"publish/every queue bound to the key gets the body":  publishReachesAllBound,
	"publish/to a queue reaches no other":                 publishToQueueOnly,
	"publish/without a bound queue is refused":            publishUnroutable,
	"publish/what can never be taken is refused for good": publishInvalid,
	"publish/bodies of every size arrive complete":        publishSizes,
	"publish/keys and headers may be unicode":             publishUnicode,
	"publish/the body may be reused":                      publishCopies,
	"publish/a context that has ended stops it":           publishContext,
	"publish/a closed broker refuses":                     publishClosed,
}

func publishedIsSafe(w *world) {
	watcher, publisher := w.open(), w.open()
	q := w.declare(watcher, w.name("key"))
	w.must(publisher.Publish(w.ctx, broker.Publication{Key: q.Keys[0], Body: []byte("safe")}))
	if n := w.inspect(watcher, q).Messages; n != 1 {
		w.Fatalf("%d bodies in the queue after the confirm, want 1", n)
	}
	closeBroker(w, publisher)
	got := w.drain(watcher, q, 1)[0]
	want := broker.Delivery{Queue: q.Name, Key: q.Keys[0], Body: []byte("safe")}
	if d := diffDelivery(want, got); d != "" {
		w.Fatal(d)
	}
}

func diffDelivery(want broker.Delivery, got *broker.Delivery) string {
	type plain struct {
		Queue, Key, Body string
		Headers          map[string]string
		Redelivered      bool
	}
	flat := func(d *broker.Delivery) plain {
		p := plain{Queue: d.Queue, Key: d.Key, Body: string(d.Body), Redelivered: d.Redelivered}
		if len(d.Headers) > 0 {
			p.Headers = d.Headers
		}
		return p
	}
	return cmp.Diff(flat(&want), flat(got))
}

func publishReachesAllBound(w *world) {
	b := w.open()
	key, other := w.name("key"), w.name("key")
	both := []broker.Queue{w.declare(b, key, other), w.declare(b, key)}
	bystander := w.declare(b, other)
	w.must(b.Publish(w.ctx, broker.Publication{Key: key, Body: []byte("for two")}))
	for _, q := range both {
		if got := bodies(w.drain(b, q, 1)); got[0] != "for two" {
			w.Fatalf("got %q", got)
		}
	}
	if n := w.inspect(b, bystander).Messages; n != 0 {
		w.Fatal("a queue bound to another key got the body")
	}
}

func publishToQueueOnly(w *world) {
	b := w.open()
	key := w.name("key")
	q := w.declare(b, key)
	others := []broker.Queue{w.declare(b, key), w.declare(b, q.Name)}
	w.must(b.Publish(w.ctx, broker.Publication{Queue: q.Name, Body: []byte("for one")}))
	got := w.drain(b, q, 1)[0]
	if d := diffDelivery(broker.Delivery{Queue: q.Name, Key: q.Name, Body: []byte("for one")}, got); d != "" {
		w.Fatal(d)
	}
	for _, other := range others {
		if n := w.inspect(b, other).Messages; n != 0 {
			w.Fatal("another queue got the body")
		}
	}
}

func publishUnroutable(w *world) {
	b := w.open()
	w.wantErr(b.Publish(w.ctx, broker.Publication{Key: w.name("nobody"), Body: []byte("x")}), broker.ErrUnroutable)
	w.wantErr(b.Publish(w.ctx, broker.Publication{Queue: w.name("nothing"), Body: []byte("x")}), broker.ErrUnroutable)
}

func publishInvalid(w *world) {
	b := w.open()
	q := w.declare(b)
	long := strings.Repeat("k", 256)
	for what, p := range map[string]broker.Publication{
		"no destination":      {Body: []byte("x")},
		"two destinations":    {Key: "k", Queue: q.Name},
		"a key too long":      {Key: long},
		"a queue too long":    {Queue: long},
		"a delay for a key":   {Key: "k", Delay: 1},
		"a header too long":   {Queue: q.Name, Headers: broker.Headers{long: "v"}},
		"headers too large":   {Queue: q.Name, Headers: broker.Headers{"h": strings.Repeat("v", 1<<20)}},
		"a delay of 100 days": {Queue: q.Name, Delay: 100 * 24 * 3600 * 1e9},
	} {
		if err := b.Publish(w.ctx, p); err == nil {
			w.Errorf("%s: published", what)
		} else {
			w.wantErr(err, broker.ErrInvalid)
		}
	}
	w.publish(b, q, 1)
	w.drain(b, q, 1)
}

func publishSizes(w *world) {
	b := w.open()
	q := w.declare(b)
	for _, size := range []int{0, 1, 4096, 131072, 5 << 20} {
		body := bytes.Repeat([]byte{'x', 0, 0xff}, size/3+1)[:size]
		w.must(b.Publish(w.ctx, broker.Publication{Queue: q.Name, Body: body}))
		if got := w.drain(b, q, 1)[0]; !bytes.Equal(got.Body, body) {
			w.Fatalf("a body of %d bytes arrived as %d others", size, len(got.Body))
		}
	}
}

func publishUnicode(w *world) {
	b := w.open()
	key := w.name("schlüssel.鍵.🔑")
	q := broker.Queue{Name: w.name("warteschlange.列"), Keys: []string{key}}
	w.declareQueue(b, q)
	headers := broker.Headers{"größe": "groß", "empty": "", "binary": "a\x00b"}
	w.must(b.Publish(w.ctx, broker.Publication{Key: key, Body: []byte("κόσμε"), Headers: headers}))
	got := w.drain(b, q, 1)[0]
	want := broker.Delivery{Queue: q.Name, Key: key, Body: []byte("κόσμε"), Headers: headers}
	if d := diffDelivery(want, got); d != "" {
		w.Fatal(d)
	}
}

func publishCopies(w *world) {
	b := w.open()
	key := w.name("key")
	first, second := w.declare(b, key), w.declare(b, key)
	body, result := []byte("original"), make(chan error, 1)
	b.PublishAsync(w.ctx, broker.Publication{Key: key, Body: body}, func(err error) { result <- err })
	copy(body, "changed!")
	w.must(<-result)
	got := w.drain(b, first, 1)[0]
	copy(got.Body, "consumed")
	if s := string(w.drain(b, second, 1)[0].Body); s != "original" {
		w.Fatalf("the other queue's body became %q", s)
	}
}

func publishContext(w *world) {
	b := w.open()
	q := w.declare(b)
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	w.wantErr(b.Publish(ctx, broker.Publication{Queue: q.Name, Body: []byte("late")}), context.Canceled)
	result := make(chan error, 1)
	b.PublishAsync(ctx, broker.Publication{Queue: q.Name, Body: []byte("late")}, func(err error) { result <- err })
	w.wantErr(<-result, context.Canceled)
	if n := w.inspect(b, q).Messages; n != 0 {
		w.Fatal("published nevertheless")
	}
}

func publishClosed(w *world) {
	b := w.open()
	q := w.declare(b)
	closeBroker(w, b)
	p := broker.Publication{Queue: q.Name}
	w.wantErr(b.Publish(w.ctx, p), broker.ErrClosed)
	result := make(chan error, 1)
	b.PublishAsync(w.ctx, p, func(err error) { result <- err })
	w.wantErr(<-result, broker.ErrClosed)
	w.wantErr(b.Declare(w.ctx, q), broker.ErrClosed)
	w.wantErr(b.Consume(w.ctx, q, 1, func(*broker.Delivery) {}), broker.ErrClosed)
	if st := b.State(); st.Connected || st.LastError == nil {
		w.Fatalf("state after Close: %+v", st)
	}
}
