package xmpp

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"switchboard/message"
	"switchboard/xmpp"
)

const (
	// maxRemembered bounds each of what is remembered here.
	maxRemembered = 10_000
	// copiesWithin is how far apart two messages may have been written to be copies of
	// one: a stamp is another clock's, and may be missing on one of them.
	copiesWithin = 10 * time.Minute
	// afterConnect is how long after connecting a server may bring copies that say
	// nothing of their age.
	afterConnect = time.Minute
)

type digest [sha256.Size]byte

func digestOf(parts ...string) digest {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return digest(h.Sum(nil))
}

// copies recognises messages that a server brings again after a lost connection, by
// sender, id and text. Only what may be a copy is looked at: some robots give all
// their messages one id.
type copies struct {
	mu   sync.Mutex
	list *simplelru.LRU[digest, *original]
}

type original struct {
	at   time.Time     // when it was written, or came
	over chan struct{} // closed when the broker has it, or not
	ok   bool          // once over
}

func newCopies() *copies {
	list, _ := simplelru.NewLRU[digest, *original](maxRemembered, nil) // fails for sizes below 1
	return &copies{list: list}
}

// do does work for a message, unless it was done for one like it.
func (c *copies) do(ctx context.Context, e *xmpp.Element, maybeCopy bool, work func() error) (copied bool, err error) {
	id := stanzaID(e)
	if id == "" {
		return false, work()
	}
	key := digestOf(e.Attr("from"), id, e.ChildText(xmpp.NSClient, "body"))
	own := &original{at: delayOf(e), over: make(chan struct{})}
	if own.at.IsZero() {
		own.at = time.Now()
	}
	c.mu.Lock()
	was, there := c.list.Get(key)
	there = there && maybeCopy && own.at.Sub(was.at).Abs() < copiesWithin
	if !there {
		c.list.Add(key, own)
	}
	c.mu.Unlock()
	if there {
		select {
		case <-was.over:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if was.ok {
			return true, nil
		}
		return false, work()
	}
	defer close(own.over)
	err = work()
	own.ok = err == nil
	return false, err
}

// stanzaID is the id that our account or the room gave a stanza (XEP-0359), else the
// sender's own.
func stanzaID(e *xmpp.Element) string {
	for _, c := range e.Children {
		if by := c.Attr("by"); c.Space == xmpp.NSStanzaID && c.Name == "stanza-id" && (by == e.From().Bare().String() && e.Attr("type") == "groupchat" || by == e.To().Bare().String()) {
			return c.Attr("id")
		}
	}
	return e.Attr("id")
}

// loops breaks what two robots say to each other for ever.
type loops struct {
	most int
	mu   sync.Mutex
	list *simplelru.LRU[digest, *repeats]
}

type repeats struct {
	since time.Time
	n     int
}

func newLoops(most int) *loops {
	list, _ := simplelru.NewLRU[digest, *repeats](maxRemembered, nil) // fails for sizes below 1
	return &loops{most: most, list: list}
}

// check counts a reply, and fails when it is one too many of its like in a minute.
func (l *loops) check(m *message.Message) error {
	if l.most == 0 || m.InReplyTo == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := digestOf(m.To, m.Content)
	was, there := l.list.Get(key)
	if !there || time.Since(was.since) > time.Minute {
		was = &repeats{since: time.Now()}
		l.list.Add(key, was)
	}
	if was.n++; was.n > l.most {
		return fmt.Errorf("%s gets the same reply for the %dth time within a minute: it is taken for a loop between robots (max_equal_replies)", m.To, was.n)
	}
	return nil
}
