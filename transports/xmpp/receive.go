package xmpp

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/xmpp"
)

// handle takes a message or presence, in the order of their coming.
func (r *run) handle(e *xmpp.Element, handled func()) {
	if e.Name == "presence" {
		r.takePresence(e)
		handled()
		return
	}
	kind, take := r.classify(e)
	if kind == "bounce" && r.sent.refused(e) {
		handled()
		return
	}
	if take == nil {
		r.metrics.count(kind)
		handled()
		return
	}
	r.inLane(e.From().Bare().String(), func() {
		kept := false
		defer func() {
			if !kept { // a panic must not stop reading
				handled()
			}
		}()
		kept = !r.isTaken(e, kind, take)
	})
}

// isTaken takes a stanza. A person whose message is not taken is told to send it again;
// what nobody would send again is tried until it is taken. False is that there is no
// more time: the server keeps it.
func (r *run) isTaken(e *xmpp.Element, kind string, take taker) bool {
	delays := backoff.Backoff{Min: minDelay, Max: maxDelay}
	for {
		err := take(r.work, e)
		switch {
		case err == nil:
			return true
		case r.work.Err() != nil:
			return false
		}
		r.logger.Warn("taking a stanza failed", "kind", kind, "from", e.Attr("from"), "error", err)
		switch {
		case kind == "message":
			r.refuse(e, "wait", "resource-constraint", "the message could not be taken; please try again")
			return true
		case message.IsPermanent(err):
			return true
		}
		delays.Wait(r.work)
	}
}

// refuse tells a sender that their message was not taken.
func (r *run) refuse(e *xmpp.Element, kind, condition, text string) {
	if s := r.current(); s != nil && e.Attr("type") != "error" && e.Attr("type") != "groupchat" {
		_ = s.Send(xmpp.ErrorReply(e, kind, condition, text), nil)
	}
}

type taker func(context.Context, *xmpp.Element) error

// classify says what a message stanza is, and who takes it; nil is nobody.
func (r *run) classify(e *xmpp.Element) (kind string, take taker) {
	from := e.From()
	switch {
	case from.IsZero() && e.Attr("from") != "":
		return "unreadable_sender", r.takeUnreadable
	case from.IsZero(), r.isOurs(from):
		return "echo", nil // our server's own word, or our own
	case e.Attr("type") == "error":
		return "bounce", r.takeBounce
	case e.Child(xmpp.NSReceipts, "received") != nil:
		return "receipt", r.takeReceipt
	case e.Child(nsMarkers, "displayed") != nil:
		return "displayed", r.takeDisplayed
	case e.Child(xmpp.NSCarbons, "sent") != nil, e.Child(xmpp.NSCarbons, "received") != nil:
		return "carbon", nil // none were asked for: somebody forges them
	case e.Attr("type") == "headline":
		return "headline", nil
	case e.Child(xmpp.NSReactions, "reactions") != nil:
		return "reaction", nil
	case e.Child(nsRetract, "retract") != nil, e.Child(nsFasten, "apply-to") != nil:
		return "retraction", nil
	case isEncrypted(e):
		return "encrypted", r.takeEncrypted
	case e.Child(xmpp.NSClient, "body") == nil:
		return "no_body", nil
	case e.Attr("type") == "groupchat":
		return "group", r.rooms.take
	}
	return "message", r.takeMessage
}

const (
	nsMarkers = "urn:xmpp:chat-markers:0"
	nsRetract = "urn:xmpp:message-retract:1"
	nsFasten  = "urn:xmpp:fasten:0"
)

func isEncrypted(e *xmpp.Element) bool {
	return e.Child(xmpp.NSOMEMO, "encrypted") != nil || e.Child(xmpp.NSOMEMO2, "encrypted") != nil || e.Child(xmpp.NSEME, "encryption") != nil
}

// isOurs says that an address is our account's, or one that the component serves.
func (r *run) isOurs(j xmpp.JID) bool {
	if r.options.Component != "" {
		return j.Domain == r.jid.Domain
	}
	return j.Bare() == r.jid
}

// takeUnreadable tells somebody whose address is no JID here that nobody could answer them.
func (r *run) takeUnreadable(_ context.Context, e *xmpp.Element) error {
	r.metrics.count("unreadable_sender")
	r.logger.Warn("a stanza is not taken: its sender's address cannot be read", "from", e.Attr("from"))
	r.refuse(e, "modify", "jid-malformed", "the sender's address cannot be read")
	return nil
}

func (r *run) takeBounce(ctx context.Context, e *xmpp.Element) error {
	return r.sent.bounced(ctx, e.Attr("id"), e.From(), xmpp.ErrorOf(e))
}

func (r *run) takeReceipt(ctx context.Context, e *xmpp.Element) error {
	return r.sent.delivered(ctx, e.Child(xmpp.NSReceipts, "received").Attr("id"), e.From(), "received")
}

func (r *run) takeDisplayed(ctx context.Context, e *xmpp.Element) error {
	return r.sent.delivered(ctx, e.Child(nsMarkers, "displayed").Attr("id"), e.From(), "displayed")
}

// encryptedText tells somebody that their client encrypts for nobody who can read.
const encryptedText = "This address cannot read encrypted messages. Please turn encryption (OMEMO) off in this chat and send it again."

// takeEncrypted tells a person, now and then, that nobody can read what they send.
func (r *run) takeEncrypted(_ context.Context, e *xmpp.Element) error {
	r.metrics.count("encrypted")
	if s := r.current(); s != nil && e.Attr("type") != "groupchat" && r.about.mayTell(e.From().Bare()) {
		_ = s.Send(xmpp.New(xmpp.NSClient, "message", xmpp.NewText(xmpp.NSClient, "body", encryptedText)).
			Set("type", "chat").Set("to", e.Attr("from")).Set("from", e.Attr("to")).Set("id", message.NewID()), nil)
	}
	return nil
}

// takeMessage publishes what a person wrote, and then tells them that it arrived.
func (r *run) takeMessage(ctx context.Context, e *xmpp.Element) error {
	m, written := r.inbound(e)
	if r.isTooOld(written) {
		r.metrics.count("too_old")
		return nil
	}
	copied, err := r.copies.do(ctx, e, r.maybeCopy(written), func() error { return r.publisher.Inbound(ctx, m) })
	if err != nil {
		return err
	}
	if copied {
		r.metrics.count("copy")
	} else {
		r.metrics.count("message")
	}
	if s := r.current(); s != nil && e.Attr("id") != "" && e.Child(xmpp.NSReceipts, "request") != nil {
		_ = s.Send(xmpp.New(xmpp.NSClient, "message",
			xmpp.New(xmpp.NSReceipts, "received").Set("id", e.Attr("id")), xmpp.New(xmpp.NSHints, "store"),
		).Set("type", e.Attr("type")).Set("to", e.Attr("from")).Set("from", e.Attr("to")).Set("id", message.NewID()), nil)
	}
	return nil
}

func (r *run) isTooOld(written time.Time) bool {
	return r.options.MaxAge > 0 && !written.IsZero() && time.Since(written) > r.options.MaxAge.Std()
}

// maybeCopy says that a server may have brought a message before: it kept it, or we
// have only just connected.
func (r *run) maybeCopy(written time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !written.IsZero() || time.Since(r.since) < afterConnect
}

// inbound makes a message of a stanza. written is when the person wrote it, where it
// says so: it was kept somewhere since.
func (r *run) inbound(e *xmpp.Element) (m *message.Message, written time.Time) {
	m = message.New()
	from, to := e.From(), e.To()
	m.From, m.To, m.TransportType = from.Bare().String(), to.Bare().String(), "xmpp"
	if to.IsZero() {
		m.To = r.jid.String()
	}
	if from.Resource != "" && r.rooms.isIn(from.Bare()) { // an occupant has no other address
		m.From = from.String()
	}
	m.Content = bodyOf(e)
	meta := &m.TransportMetadata
	for _, field := range [...]struct{ key, value string }{
		{"xmpp_id", e.Attr("id")},
		{"xmpp_resource", from.Resource},
		{"xmpp_type", e.Attr("type")},
		{"xmpp_thread", e.ChildText(xmpp.NSClient, "thread")},
		{"xmpp_subject", e.ChildText(xmpp.NSClient, "subject")},
		{"xmpp_replaces", e.Child(xmpp.NSCorrect, "replace").Attr("id")},
		{"xmpp_url", e.Child(xmpp.NSOOB, "x").ChildText(xmpp.NSOOB, "url")},
		{"xmpp_language", e.Attr("xml:lang")},
	} {
		if field.value != "" {
			meta.Set(field.key, field.value)
		}
	}
	if written = delayOf(e); !written.IsZero() {
		meta.Set("xmpp_delayed", message.FormatTime(written))
		m.Timestamp = written.Truncate(time.Microsecond)
	}
	return m, written
}

// delayOf is the oldest of a stanza's stamps: when the person wrote it. Servers on its
// way add theirs (XEP-0203). One from the future is not believed.
func delayOf(e *xmpp.Element) (oldest time.Time) {
	for _, c := range e.Children {
		if c.Space != xmpp.NSDelay || c.Name != "delay" {
			continue
		}
		stamp, err := time.Parse(time.RFC3339, c.Attr("stamp"))
		if err == nil && stamp.Before(time.Now()) && (oldest.IsZero() || stamp.Before(oldest)) {
			oldest = stamp.UTC()
		}
	}
	return oldest
}

// bodyOf is the text, without what only repeats for older clients what stands beside
// it (XEP-0428).
func bodyOf(e *xmpp.Element) string {
	text := e.ChildText(xmpp.NSClient, "body")
	for _, c := range e.Children {
		if c.Space != xmpp.NSFallback || c.Name != "fallback" {
			continue
		}
		part := c.Child(xmpp.NSFallback, "body")
		start, err1 := strconv.Atoi(part.Attr("start"))
		end, err2 := strconv.Atoi(part.Attr("end"))
		if cut, ok := without(text, start, end); ok && err1 == nil && err2 == nil {
			return cut
		}
	}
	return text
}

// without takes the characters from start to end out.
func without(text string, start, end int) (string, bool) {
	if start < 0 || end < start || end > utf8.RuneCountInString(text) {
		return "", false
	}
	runes := []rune(text)
	return string(runes[:start]) + string(runes[end:]), true
}

// isLink says that a text is one address of the web and nothing else: clients show
// what is there when it comes with jabber:x:oob (XEP-0066).
func isLink(text string) bool {
	return (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")) && !strings.ContainsAny(text, " \t\r\n")
}
