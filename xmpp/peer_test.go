package xmpp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/internal/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is a server that says what a test wants: what a real one cannot be taught.
type peer struct {
	t      *testing.T
	conn   net.Conn
	reader *reader
}

// bundle is a peer's address, and how to go there.
type bundle struct {
	t        *testing.T
	settings Settings
	listener net.Listener
	tls      *tls.Config
}

func newBundle(t *testing.T, names ...string) *bundle {
	t.Helper()
	cert, key, roots := testutil.SelfSigned(t, append(names, "example.org")...)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &bundle{t: t, listener: l, tls: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, settings: Settings{
		JID: JID{Local: "bot", Domain: "example.org"}, Password: "pencil", Address: l.Addr().String(), DirectTLS: true,
		TLS:    func() (*tls.Config, error) { return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil },
		Handle: func(_ *Element, handled func()) { handled() },
	}}
}

// dial dials while the peer follows a script.
func (b *bundle) dial(prior *Resumption, script func(p *peer)) (*Session, error) {
	b.t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(testutil.Patience))
		if b.settings.DirectTLS {
			conn = tls.Server(conn, b.tls)
		}
		script(&peer{t: b.t, conn: conn, reader: newReader(conn)})
	}()
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	defer cancel()
	s, err := Dial(ctx, b.settings, prior)
	<-over
	return s, err
}

func (p *peer) write(text string) { _, _ = p.conn.Write([]byte(text)) }

// next is what the client says next, of a name.
func (p *peer) next(name string) *Element {
	p.t.Helper()
	e, err := p.reader.next()
	if err != nil || e.Name != name {
		p.t.Errorf("the client sent %v, %v, want <%s/>", e, err, name)
		return New("", "nothing")
	}
	return e
}

// features opens the peer's half of a stream.
func (p *peer) features(inside string) {
	p.t.Helper()
	p.reader.restart()
	if _, err := p.reader.header(); err != nil {
		p.t.Errorf("the client's stream: %v", err)
	}
	p.write("<stream:stream xmlns='jabber:client' xmlns:stream='" + nsStream + "' id='1' version='1.0'><stream:features>" + inside + "</stream:features>")
}

const (
	offerPlain = "<mechanisms xmlns='" + nsSASL + "'><mechanism>PLAIN</mechanism></mechanisms>"
	offerBind  = "<bind xmlns='" + nsBind + "'/><sm xmlns='" + nsSM + "'/>"
)

func (p *peer) login() {
	p.t.Helper()
	p.features(offerPlain)
	p.next("auth")
	p.write("<success xmlns='" + nsSASL + "'/>")
	p.features(offerBind)
}

func (p *peer) bind() {
	p.t.Helper()
	iq := p.next("iq")
	p.write("<iq type='result' id='" + iq.Attr("id") + "'><bind xmlns='" + nsBind + "'><jid>bot@example.org/r</jid></bind></iq>")
}

func (p *peer) enable() {
	p.t.Helper()
	p.login()
	p.bind()
	p.next("enable")
	p.write("<enabled xmlns='" + nsSM + "' id='sm1' resume='true'/>")
}

// connected is a session, and the peer that it speaks to.
func (b *bundle) connected() (*Session, *peer) {
	b.t.Helper()
	var at *peer
	s, err := b.dial(nil, func(p *peer) { p.enable(); at = p })
	if err != nil {
		b.t.Fatal(err)
	}
	return s, at
}

// run serves a session; the error is that of its end.
func run(t *testing.T, s *Session) <-chan error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		ended <- s.Run(ctx)
	}()
	t.Cleanup(func() {
		_ = s.conn.Close() // the peer would not answer a clean end
		cancel()
		<-over
	})
	return ended
}

// message is a stanza, and what becomes of it.
func message(s *Session, id string, more ...*Element) <-chan error {
	done := make(chan error, 1)
	if err := s.Send(New(NSClient, "message", NewText(NSClient, "body", id)).Add(more...).Set("id", id), func(err error) { done <- err }); err != nil {
		done <- err
	}
	return done
}

// A password is not told to whoever can listen.
func TestPlainNeedsTLS(t *testing.T) {
	b := newBundle(t)
	b.settings.DirectTLS, b.settings.Plaintext = false, true
	_, err := b.dial(nil, func(p *peer) { p.features(offerPlain) })
	if !errors.Is(err, errPlain) || !IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

// A challenge neither keeps the login busy for ever nor has it compute for hours.
func TestHostileChallenges(t *testing.T) {
	for _, challenge := range []string{
		"", "x", "xyz", "r=%s,s=c2FsdA==,i=4096,", "r=%s,s=c2FsdA==,i=4096,xyz", "r=%s,s=c2FsdA==,i=2147483647", "r=%s,s=c2FsdA==,i=0",
	} {
		b := newBundle(t)
		_, err := b.dial(nil, func(p *peer) {
			p.features(strings.Replace(offerPlain, "PLAIN", "SCRAM-SHA-1", 1))
			first, _ := base64.StdEncoding.DecodeString(p.next("auth").Text)
			_, nonce, _ := strings.Cut(string(first), ",r=")
			text := strings.Replace(challenge, "%s", nonce, 1)
			p.write("<challenge xmlns='" + nsSASL + "'>" + base64.StdEncoding.EncodeToString([]byte(text)) + "</challenge>")
		})
		if !errors.Is(err, errChallenge) {
			t.Errorf("%q: %v", challenge, err)
		}
	}
}

func TestServerWithoutTLS(t *testing.T) {
	b := newBundle(t)
	b.settings.DirectTLS = false
	_, err := b.dial(nil, func(p *peer) { p.features(offerPlain) })
	if !errors.Is(err, errNoTLS) {
		t.Errorf("got %v", err)
	}
}

// What somebody in between writes before TLS begins is not taken for the server's.
func TestWrittenBeforeTLS(t *testing.T) {
	b := newBundle(t)
	b.settings.DirectTLS = false
	_, err := b.dial(nil, func(p *peer) {
		p.features("<starttls xmlns='" + nsTLS + "'/>")
		p.next("starttls")
		p.write("<proceed xmlns='" + nsTLS + "'/><stream:features>" + offerPlain + "</stream:features>")
	})
	if !errors.Is(err, errEarly) {
		t.Errorf("got %v", err)
	}
}

// The certificate must be for the JID's domain; that it is for the address helps nobody.
func TestCertificateOfAnotherDomain(t *testing.T) {
	b := newBundle(t)
	b.settings.JID.Domain = "example.net"
	_, err := b.dial(nil, func(p *peer) { _, _ = p.reader.next() })
	if err == nil || !strings.Contains(err.Error(), "not example.net") {
		t.Errorf("got %v", err)
	}
}

// Resuming goes before binding. What the server has is settled, and the rest is sent
// again as it was.
func TestResumption(t *testing.T) {
	b := newBundle(t)
	s, p := b.connected()
	ended := run(t, s)
	var sent []<-chan error
	var raw []string
	for i := range 5 {
		sent = append(sent, message(s, fmt.Sprint("m", i)))
	}
	for range 5 {
		e, _ := p.reader.next()
		for e.Name == "r" {
			e, _ = p.reader.next()
		}
		raw = append(raw, e.String())
	}
	p.write("<message from='anna@example.org' id='i1'/><presence/><a xmlns='" + nsSM + "' h='2'/>")
	for i := range 2 {
		if err := <-sent[i]; err != nil {
			t.Errorf("stanza %d: %v", i, err)
		}
	}
	_ = p.conn.Close()
	<-ended
	s, err := b.dial(s.Resumption(), func(p2 *peer) {
		p2.login()
		e := p2.next("resume")
		if e.Attr("previd") != "sm1" || e.Attr("h") != "2" {
			t.Errorf("resumed by %s", e)
		}
		p2.write("<resumed xmlns='" + nsSM + "' previd='sm1' h='3'/>")
		p = p2
	})
	if err != nil || !s.Resumed() || s.JID().String() != "bot@example.org/r" {
		t.Fatalf("resumed %t as %s: %v", err == nil && s.Resumed(), s.JID(), err)
	}
	run(t, s)
	for i := 3; i < 5; i++ {
		if e := p.next("message"); e.String() != raw[i] {
			t.Errorf("sent again as %s, not as %s", e, raw[i])
		}
	}
	p.next("r")
	p.write("<message from='anna@example.org' id='i2'/><r xmlns='" + nsSM + "'/>")
	if e := p.next("a"); e.Attr("h") != "3" {
		t.Errorf("%s were handled: the count began anew", e.Attr("h"))
	}
	last := message(s, "m5")
	p.write("<a xmlns='" + nsSM + "' h='6'/>")
	for _, done := range append(sent[2:], last) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// What was not handled when the connection broke comes again, and counts once.
func TestUnhandledBeforeResumption(t *testing.T) {
	b := newBundle(t)
	handled := make(chan func(), 4)
	b.settings.Handle = func(_ *Element, done func()) { handled <- done }
	s, p := b.connected()
	ended := run(t, s)
	p.write("<message id='1'/><message id='2'/>")
	old := []func(){<-handled, <-handled}
	_ = p.conn.Close()
	<-ended
	s, err := b.dial(s.Resumption(), func(p2 *peer) {
		p2.login()
		if e := p2.next("resume"); e.Attr("h") != "0" {
			t.Errorf("resumed by %s", e)
		}
		p2.write("<resumed xmlns='" + nsSM + "' previd='sm1' h='0'/>")
		p = p2
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	p.write("<message id='1'/><message id='2'/>")
	again := []func(){<-handled, <-handled}
	for i, list := range [][]func(){old, again} {
		for _, done := range list {
			done()
		}
		p.write("<r xmlns='" + nsSM + "'/>")
		if e := p.next("a"); e.Attr("h") != strconv.Itoa(2*i) {
			t.Errorf("%s were handled, want %d", e.Attr("h"), 2*i)
		}
	}
}

// A server that does not resume may say what it had; nobody knows of the rest, which is
// not sent again. The new session counts from 0.
func TestFailedResumption(t *testing.T) {
	for name, c := range map[string]struct {
		failed string
		known  int
	}{
		"with h":    {"<failed xmlns='" + nsSM + "' h='2'><item-not-found xmlns='" + NSStanzas + "'/></failed>", 2},
		"without":   {"<failed xmlns='" + nsSM + "'><item-not-found xmlns='" + NSStanzas + "'/></failed>", 0},
		"malformed": {"<failed xmlns='" + nsSM + "'><error/></failed>", 0},
		"ahead":     {"<failed xmlns='" + nsSM + "' h='77'/>", 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			s, p := b.connected()
			ended := run(t, s)
			var sent []<-chan error
			for i := range 3 {
				sent = append(sent, message(s, fmt.Sprint("m", i)))
				p.next("message")
				if i == 0 {
					p.next("r")
				}
			}
			_ = p.conn.Close()
			<-ended
			s, err := b.dial(s.Resumption(), func(p2 *peer) {
				p2.login()
				p2.next("resume")
				p2.write(c.failed)
				p2.bind()
				p2.next("enable")
				p2.write("<enabled xmlns='" + nsSM + "' id='sm2' resume='true'/>")
				p = p2
			})
			if err != nil || s.Resumed() {
				t.Fatalf("resumed %t, %v", err == nil && s.Resumed(), err)
			}
			for i, done := range sent {
				if err := <-done; (err == nil) != (i < c.known) || err != nil && !errors.Is(err, ErrUnknown) {
					t.Errorf("stanza %d: %v", i, err)
				}
			}
			run(t, s)
			fresh := message(s, "fresh")
			if e := p.next("message"); e.Attr("id") != "fresh" {
				t.Errorf("sent %s", e)
			}
			p.write("<a xmlns='" + nsSM + "' h='1'/>")
			if err := <-fresh; err != nil {
				t.Error(err)
			}
		})
	}
}

// Of those that were in flight when the server ended the stream over its policy only one
// that may be too large has the reason: what the session's end says of the others is that
// nobody knows of them, and a session that is resumed sends them again.
func TestTooLargeForTheServer(t *testing.T) {
	b := newBundle(t)
	for name, c := range map[string]struct {
		sizes   []int
		blamed  int // by an end; -1: all have the reason, as of any stream error
		resumed bool
		again   int // the first that is sent again
	}{
		"ended":                {[]int{100, 11_000, 20_000, 12_000}, 2, false, 0},
		"ended, all small":     {[]int{100, 200}, -1, false, 0},
		"resumed":              {[]int{20_000, 11_000, 100}, 0, true, 1},
		"resumed, a small one": {[]int{100, 20_000}, -1, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := b.connected()
			ended := run(t, s)
			var sent []<-chan error
			for i, size := range c.sizes {
				sent = append(sent, message(s, fmt.Sprint("m", i), NewText(NSClient, "body", strings.Repeat("x", size))))
			}
			p.write("<stream:error><policy-violation xmlns='" + nsStreamErr + "'/></stream:error></stream:stream>")
			if err := <-ended; !IsViolation(err) {
				t.Fatalf("the stream ended with %v", err)
			}
			if !c.resumed {
				s.Resumption().Abandon()
				for i, done := range sent {
					if err := <-done; !errors.Is(err, ErrUnknown) || IsViolation(err) != (c.blamed < 0 || i == c.blamed) {
						t.Errorf("stanza %d: %v", i, err)
					}
				}
				return
			}
			s, err := b.dial(s.Resumption(), func(p2 *peer) {
				p2.login()
				p2.next("resume")
				p2.write("<resumed xmlns='" + nsSM + "' previd='sm1' h='0'/>")
				p = p2
			})
			if err != nil {
				t.Fatal(err)
			}
			run(t, s)
			for i := range c.again {
				if err := <-sent[i]; !errors.Is(err, ErrUnknown) || !IsViolation(err) {
					t.Errorf("stanza %d: %v", i, err)
				}
			}
			for i := c.again; i < len(sent); i++ {
				if e := p.next("message"); e.Attr("id") != fmt.Sprint("m", i) {
					t.Errorf("sent again as %s", e.Attr("id"))
				}
			}
		})
	}
}

// Wherever the connection breaks while a session is resumed, the next attempt finds all
// that is not acknowledged, and it is sent again as it was.
func TestCutAtEachStep(t *testing.T) {
	b := newBundle(t)
	s, p := b.connected()
	ended := run(t, s)
	var sent []<-chan error
	for i := range 3 {
		sent = append(sent, message(s, fmt.Sprint("m", i)))
	}
	_ = p.conn.Close()
	<-ended
	prior := s.Resumption()
	asked := func(p *peer) { p.login(); p.next("resume") }
	failed := func(p *peer) { asked(p); p.write("<failed xmlns='" + nsSM + "'/>") }
	for name, script := range map[string]func(*peer){
		"before TLS":    func(*peer) {},
		"before SASL":   func(p *peer) { p.features(offerPlain) },
		"during SASL":   func(p *peer) { p.features(offerPlain); p.next("auth") },
		"after SASL":    func(p *peer) { p.login() },
		"during resume": asked,
		"before bind":   failed,
		"during bind":   func(p *peer) { failed(p); p.next("iq") },
		"before enable": func(p *peer) { failed(p); p.bind() },
		"during enable": func(p *peer) { failed(p); p.bind(); p.next("enable") },
	} {
		if _, err := b.dial(prior, func(p *peer) { script(p); _ = p.conn.Close() }); err == nil {
			t.Errorf("%s: no error", name)
		}
		if prior.Waiting() != len(sent) {
			t.Fatalf("%s: %d stanzas wait, not %d", name, prior.Waiting(), len(sent))
		}
	}
	s, err := b.dial(prior, func(p2 *peer) {
		asked(p2)
		p2.write("<resumed xmlns='" + nsSM + "' previd='sm1' h='0'/>")
		p = p2
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	for i := range sent {
		if e := p.next("message"); e.Attr("id") != fmt.Sprint("m", i) {
			t.Errorf("sent again as %s", e)
		}
	}
	p.write("<a xmlns='" + nsSM + "' h='3'/>")
	for _, done := range sent {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Over TLS 1.3 the login is bound to the connection by its exporter, where the server
// names that (RFC 9266, XEP-0440).
func TestExporterBinding(t *testing.T) {
	b := newBundle(t)
	_, _ = b.dial(nil, func(p *peer) {
		p.features("<mechanisms xmlns='" + nsSASL + "'><mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-256-PLUS</mechanism></mechanisms>" +
			"<sasl-channel-binding xmlns='" + nsBinding + "'><channel-binding type='tls-exporter'/></sasl-channel-binding>")
		auth := p.next("auth")
		first, _ := base64.StdEncoding.DecodeString(auth.Text)
		header, nonce, _ := strings.Cut(string(first), "n=bot,r=")
		if auth.Attr("mechanism") != "SCRAM-SHA-256-PLUS" || header != "p=tls-exporter,," {
			t.Errorf("the login is %s: %s", auth, first)
		}
		challenge := "r=" + nonce + "x,s=c2FsdA==,i=4096"
		p.write("<challenge xmlns='" + nsSASL + "'>" + base64.StdEncoding.EncodeToString([]byte(challenge)) + "</challenge>")
		final, _ := base64.StdEncoding.DecodeString(p.next("response").Text)
		state := p.conn.(*tls.Conn).ConnectionState()
		exported, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		want := "c=" + base64.StdEncoding.EncodeToString(append([]byte(header), exported...)) + ","
		if state.Version != tls.VersionTLS13 || err != nil || !strings.HasPrefix(string(final), want) {
			t.Errorf("by %x, %v, the proof is %s, want %s…", state.Version, err, final, want)
		}
		_ = p.conn.Close()
	})
}

// A server that counts more than was sent is believed.
func TestAhead(t *testing.T) {
	b := newBundle(t)
	s, p := b.connected()
	run(t, s)
	first := message(s, "m1")
	p.write("<a xmlns='" + nsSM + "' h='100'/>")
	if err := <-first; err != nil {
		t.Error(err)
	}
	second := message(s, "m2")
	p.write("<a xmlns='" + nsSM + "' h='101'/>")
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// The counters wrap.
func TestCountersWrap(t *testing.T) {
	o := outbox{acked: 1<<32 - 2}
	for range 4 {
		o.waiting = append(o.waiting, pending{})
	}
	upTo, ahead, old := o.number(1)
	if len(o.acknowledge(upTo)) != 3 || ahead || old || len(o.waiting) != 1 {
		t.Errorf("up to %d, ahead %t, old %t, %d left", upTo, ahead, old, len(o.waiting))
	}
	if _, _, old := o.number(0); !old {
		t.Error("an older number counts")
	}
}

// The server is answered while handlers are busy, with what is handled, and told when
// all is.
func TestAcknowledgesWhatIsHandled(t *testing.T) {
	b := newBundle(t)
	handled := make(chan func(), 3)
	b.settings.Handle = func(_ *Element, done func()) { handled <- done }
	s, p := b.connected()
	run(t, s)
	p.write("<message id='1'/><message id='2'/><message id='3'/><r xmlns='" + nsSM + "'/>")
	if e := p.next("a"); e.Attr("h") != "0" {
		t.Errorf("%s were handled", e.Attr("h"))
	}
	one, two, three := <-handled, <-handled, <-handled
	two()
	two() // counts once
	three()
	p.write("<r xmlns='" + nsSM + "'/>")
	if e := p.next("a"); e.Attr("h") != "0" {
		t.Errorf("%s were handled, though the first is not", e.Attr("h"))
	}
	one()
	if e := p.next("a"); e.Attr("h") != "3" {
		t.Errorf("%s were handled", e.Attr("h"))
	}
}

// An answer counts only from whom was asked, and answers are never answered.
func TestAnswers(t *testing.T) {
	b := newBundle(t)
	s, p := b.connected()
	run(t, s)
	got := make(chan *Element, 1)
	go func() {
		e, _ := s.IQ(context.Background(), IQ("room@example.org", "get", New(NSPing, "ping")))
		got <- e
	}()
	iq := p.next("iq")
	p.next("r")
	for _, from := range []string{"evil@example.org", "", "room@example.org"} {
		p.write("<iq type='result' id='" + iq.Attr("id") + "' from='" + from + "'><query xmlns='x' from='" + from + "'/></iq>")
	}
	if e := <-got; e.Attr("from") != "room@example.org" {
		t.Errorf("answered by %s", e)
	}
	p.write("<iq type='error' id='x' from='a@b'/><iq type='result' id='y' from='a@b'/><iq type='get' id='z' from='a@b'><q xmlns='x'/></iq>")
	if e := p.next("iq"); e.Attr("id") != "z" || ErrorOf(e).Condition != "service-unavailable" {
		t.Errorf("answered %s", e)
	}
}

// What RFC 6120 §11.1 forbids, and what has no end, ends the session.
func TestForbiddenXML(t *testing.T) {
	for name, text := range map[string]string{
		"document type":   "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>",
		"entity":          "<message><body>&a;</body></message>",
		"comment":         "<message><!-- no --></message>",
		"instruction":     "<?php ?>",
		"deep":            strings.Repeat("<message>", maxDepth+2),
		"not well-formed": "<message></presence>",
		"control":         "<message>\x01</message>",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			s, p := b.connected()
			ended := run(t, s)
			p.write(text)
			if err := <-ended; err == nil {
				t.Error("it is taken")
			}
		})
	}
	r := newReader(strings.NewReader("<stream:stream xmlns:stream='" + nsStream + "'><message>" + strings.Repeat("x", maxUnknown)))
	_, _ = r.header()
	if _, err := r.next(); !errors.Is(err, errTooLarge) {
		t.Errorf("a large stanza: %v", err)
	}
}

// A server that is silent is asked, and given up when it does not answer.
func TestSilentServer(t *testing.T) {
	b := newBundle(t)
	b.settings.PingInterval, b.settings.PingTimeout = 50*time.Millisecond, 200*time.Millisecond
	s, p := b.connected()
	ended := run(t, s)
	p.next("r")
	if err := <-ended; !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
	if err := s.Send(New(NSClient, "presence"), nil); !errors.Is(err, ErrEnded) {
		t.Errorf("sending after the end: %v", err)
	}
}

// Stream errors say why, and which of them last.
func TestStreamErrors(t *testing.T) {
	for condition, want := range map[string]struct{ permanent, conflict bool }{
		"conflict": {false, true}, "host-unknown": {true, false}, "system-shutdown": {false, false}, "not-authorized": {true, false},
	} {
		b := newBundle(t)
		s, p := b.connected()
		ended := run(t, s)
		p.write("<stream:error><" + condition + " xmlns='" + nsStreamErr + "'/><text xmlns='" + nsStreamErr + "'>because</text></stream:error></stream:stream>")
		err := <-ended
		if IsPermanent(err) != want.permanent || IsConflict(err) != want.conflict || !strings.Contains(fmt.Sprint(err), condition+": because") {
			t.Errorf("%s: %v", condition, err)
		}
	}
}

// A server that sends elsewhere is followed once.
func TestSeeOtherHost(t *testing.T) {
	b, other := newBundle(t), newBundle(t)
	b.settings.TLS = nil
	b.settings.DirectTLS = false
	b.settings.Plaintext = true
	go func() {
		if conn, err := other.listener.Accept(); err == nil {
			_ = conn.Close()
		}
	}()
	_, err := b.dial(nil, func(p *peer) {
		_, _ = p.reader.header()
		p.write("<stream:stream xmlns='jabber:client' xmlns:stream='" + nsStream + "'><stream:error><see-other-host xmlns='" + nsStreamErr + "'>" +
			other.listener.Addr().String() + "</see-other-host></stream:error></stream:stream>")
	})
	if err == nil || strings.Contains(err.Error(), "see-other-host") {
		t.Errorf("got %v, want the other one's error", err)
	}
}

// Records of both kinds are one list, by priority; "." is no service.
func TestSRV(t *testing.T) {
	record := func(target string, port, priority uint16) *net.SRV {
		return &net.SRV{Target: target, Port: port, Priority: priority}
	}
	for name, c := range map[string]struct {
		direct, start []*net.SRV
		want          string
	}{
		"both kinds": {
			[]*net.SRV{record("a.example.org.", 443, 10)},
			[]*net.SRV{record("b.example.org.", 5222, 5), record("c.example.org.", 5222, 20)},
			"[{b.example.org:5222 false} {a.example.org:443 true} {c.example.org:5222 false}] <nil>",
		},
		"none":       {nil, nil, "[{example.org:5222 false}] <nil>"},
		"no service": {nil, []*net.SRV{record(".", 0, 0)}, "[] " + errNoService.Error()},
		"one kind":   {[]*net.SRV{record(".", 0, 0)}, []*net.SRV{record("b.example.org.", 5223, 5)}, "[{b.example.org:5223 false}] <nil>"},
	} {
		set := Settings{JID: JID{Domain: "example.org"}, LookupSRV: func(_ context.Context, service, _, _ string) (string, []*net.SRV, error) {
			list := c.start
			if service == "xmpps-client" {
				list = c.direct
			}
			if list == nil {
				return "", nil, &net.DNSError{IsNotFound: true}
			}
			return "", list, nil
		}}
		if list, err := set.targets(t.Context()); fmt.Sprint(list, err) != c.want {
			t.Errorf("%s: %v %v, want %s", name, list, err, c.want)
		}
	}
}
