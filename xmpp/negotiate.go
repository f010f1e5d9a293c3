package xmpp

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // XEP-0114 says so; the secret is the server's own
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"golang.org/x/net/idna"

	"switchboard/internal/coalesce"
)

// negotiation makes a session of a connection.
type negotiation struct {
	ctx       context.Context
	set       Settings
	conn      net.Conn
	reader    *reader
	tls       *tls.ConnectionState // nil without TLS
	features  *Element
	mechanism string // of the login
}

func sortByPriority(records []*net.SRV) {
	slices.SortStableFunc(records, func(a, b *net.SRV) int { return cmp.Compare(a.Priority, b.Priority) })
}

func (n *negotiation) run(direct bool, prior *Resumption) (*Session, error) {
	n.reader = newReader(n.conn)
	if direct {
		if err := n.startTLS(); err != nil {
			return nil, err
		}
	}
	if n.set.Secret != "" {
		return n.component(prior)
	}
	if err := n.open(); err != nil {
		return nil, err
	}
	if err := n.secure(); err != nil {
		return nil, err
	}
	if err := n.login(); err != nil {
		return nil, err
	}
	n.reader.limit = maxStanza
	if err := n.open(); err != nil {
		return nil, err
	}
	return n.begin(prior)
}

func (n *negotiation) write(text string) error {
	_, err := n.conn.Write([]byte(text))
	return err
}

// ask writes an element and reads the next.
func (n *negotiation) ask(e *Element) (*Element, error) {
	if err := n.write(e.String()); err != nil {
		return nil, err
	}
	return n.reader.next()
}

// header writes and reads the begin of a stream.
func (n *negotiation) header(namespace string) (*Element, error) {
	n.reader.restart()
	to := appendEscaped(nil, n.set.JID.Domain)
	text := "<?xml version='1.0'?><stream:stream xmlns='" + namespace + "' xmlns:stream='" + nsStream + "' to=\"" + string(to) + `"`
	if namespace == NSClient {
		text += " version='1.0' xml:lang='en'"
	}
	if err := n.write(text + ">"); err != nil {
		return nil, err
	}
	return n.reader.header()
}

// open opens a client's stream and reads its features.
func (n *negotiation) open() error {
	if _, err := n.header(NSClient); err != nil {
		return fmt.Errorf("opening the stream: %w", err)
	}
	features, err := n.reader.next()
	if err != nil {
		return fmt.Errorf("reading the stream's features: %w", err)
	}
	if features.Space != nsStream || features.Name != "features" {
		return unexpected(features, "the stream's features")
	}
	n.features = features
	return nil
}

// secure begins TLS by STARTTLS (RFC 6120 §5), unless there is TLS or none is wanted.
func (n *negotiation) secure() error {
	switch {
	case n.tls != nil || n.set.Plaintext:
		return nil
	case n.features.Child(nsTLS, "starttls") == nil:
		return errNoTLS
	}
	answer, err := n.ask(New(nsTLS, "starttls"))
	if err != nil {
		return fmt.Errorf("asking for TLS: %w", err)
	}
	if answer.Space != nsTLS || answer.Name != "proceed" {
		return unexpected(answer, "leave to begin TLS")
	}
	if n.reader.buffered() > 0 {
		return errEarly
	}
	if err := n.startTLS(); err != nil {
		return err
	}
	return n.open()
}

func (n *negotiation) startTLS() error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if n.set.TLS != nil {
		var err error
		if config, err = n.set.TLS(); err != nil {
			return err
		}
		config = config.Clone()
	}
	name, err := idna.Lookup.ToASCII(n.set.JID.Domain)
	if err != nil {
		name = n.set.JID.Domain
	}
	config.ServerName, config.NextProtos = name, nil
	conn := tls.Client(n.conn, config)
	if err := conn.HandshakeContext(n.ctx); err != nil {
		return fmt.Errorf("beginning TLS with %s: %w", n.set.JID.Domain, err)
	}
	state := conn.ConnectionState()
	n.conn, n.tls, n.reader = conn, &state, newReader(conn)
	return nil
}

// begin resumes an earlier session, before bind (XEP-0198 §5), or binds a new one.
func (n *negotiation) begin(prior *Resumption) (*Session, error) {
	s := n.session()
	canManage := n.features.Child(nsSM, "sm") != nil
	if prior != nil && prior.id != "" && canManage {
		resumed, err := s.resume(n, prior)
		if resumed || err != nil {
			return s, err
		}
	}
	if err := s.bind(n); err != nil {
		return nil, err
	}
	if canManage {
		if err := s.enable(n); err != nil {
			return nil, err
		}
	}
	prior.Abandon()
	return s, nil
}

func (n *negotiation) session() *Session {
	s := &Session{
		settings: n.set, jid: n.set.JID, mechanism: n.mechanism, conn: n.conn, reader: n.reader,
		out: coalesce.New(n.conn, writeTimeout), in: new(inbox), iqs: map[string]*request{},
	}
	s.in.tell = s.acknowledgeManaged
	return s
}

// resume asks for the earlier session. What the server has of it is settled; the
// rest is sent again, in order.
func (s *Session) resume(n *negotiation, prior *Resumption) (resumed bool, err error) {
	handled := prior.in.count()
	h := strconv.FormatUint(uint64(handled), 10)
	answer, err := n.ask(New(nsSM, "resume").Set("h", h).Set("previd", prior.id))
	if err != nil {
		return false, fmt.Errorf("resuming the session: %w", err)
	}
	if answer.Space != nsSM || answer.Name != "resumed" && answer.Name != "failed" {
		return false, unexpected(answer, "the answer to resume")
	}
	// A <failed/> may say what the server had handled.
	if count, err := strconv.ParseUint(answer.Attr("h"), 10, 32); err == nil {
		upTo, ahead, _ := prior.out.number(uint32(count))
		if ahead {
			n.set.Logger.Warn("the server had handled more stanzas than were sent", "h", count)
		}
		settle(prior.out.acknowledge(upTo), nil)
	}
	if answer.Name == "failed" {
		n.set.Logger.Info("the server does not resume the session; a new one begins", "unknown", prior.Waiting())
		return false, nil
	}
	s.managed, s.resumed, s.id, s.location, s.jid = true, true, prior.id, prior.location, prior.jid
	// What is still being handled comes again, and counts then: the old inbox is left.
	s.in.handled = handled
	if prior.endedOver(0) { // the first that it did not handle
		n.set.Logger.Warn("the server ended the stream over a stanza that is too large for it, which is not sent again",
			"bytes", len(prior.out.waiting[0].raw))
		settle(prior.out.waiting[:1], prior.unknown())
		prior.out.waiting = prior.out.waiting[1:]
	}
	s.box, prior.out = prior.out, outbox{}
	for _, p := range s.box.waiting {
		s.write(p.raw)
	}
	if len(s.box.waiting) > 0 {
		s.ask()
	}
	return true, nil
}

// bind takes a resource of chance: two that name the same one throw each other out
// for ever.
func (s *Session) bind(n *negotiation) error {
	resource := NewText(nsBind, "resource", "switchboard-"+randomHex(8))
	answer, err := n.ask(IQ("", "set", New(nsBind, "bind", resource)).Set("id", "bind"))
	if err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	if answer.Name != "iq" || answer.Attr("id") != "bind" {
		return unexpected(answer, "the answer to bind")
	}
	if answer.Attr("type") != "result" {
		return fmt.Errorf("the server does not bind: %w", ErrorOf(answer))
	}
	s.jid, err = ParseJID(answer.Child(nsBind, "bind").ChildText(nsBind, "jid"))
	if err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	return nil
}

// enable turns stream management on. Stanzas count from here, in both directions.
func (s *Session) enable(n *negotiation) error {
	answer, err := n.ask(New(nsSM, "enable").Set("resume", "true"))
	if err != nil {
		return fmt.Errorf("enabling acknowledgements: %w", err)
	}
	switch {
	case answer.Space == nsSM && answer.Name == "enabled":
		s.managed = true
		if resumable := answer.Attr("resume"); resumable == "true" || resumable == "1" {
			s.id, s.location = answer.Attr("id"), answer.Attr("location")
		}
		return nil
	case answer.Space == nsSM && answer.Name == "failed":
		return nil // pings take the place of acknowledgements
	}
	return unexpected(answer, "the answer to enable")
}

// component logs in with the shared secret (XEP-0114 §3).
func (n *negotiation) component(prior *Resumption) (*Session, error) {
	header, err := n.header(nsComponent)
	if err != nil {
		return nil, fmt.Errorf("opening the stream: %w", err)
	}
	sum := sha1.Sum([]byte(header.Attr("id") + n.set.Secret)) //nolint:gosec // XEP-0114
	answer, err := n.ask(NewText(NSClient, "handshake", hex.EncodeToString(sum[:])))
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	if answer.Name != "handshake" {
		err := unexpected(answer, "the answer to the handshake")
		if e, is := errors.AsType[*StreamError](err); is && e.Condition == "not-authorized" {
			err = &AuthError{e.Condition, e.Text}
		}
		return nil, err
	}
	n.reader.limit = maxStanza
	prior.Abandon()
	return n.session(), nil
}
