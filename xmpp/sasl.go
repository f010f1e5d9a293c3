package xmpp

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/secure/precis"
	"mellium.im/sasl"
)

// mechanisms are those that are known, the best first. Those that end in -PLUS bind
// the login to the TLS connection (RFC 5802 §6).
var mechanisms = [...]sasl.Mechanism{
	sasl.ScramSha256Plus, sasl.ScramSha1Plus, sasl.ScramSha256, sasl.ScramSha1, sasl.Plain,
}

// choose finds the best mechanism that the server offers and is safe.
func (n *negotiation) choose() (m sasl.Mechanism, offered []string, err error) {
	for _, e := range n.features.Child(nsSASL, "mechanisms").children() {
		offered = append(offered, strings.TrimSpace(e.Text))
	}
	for _, m := range mechanisms {
		switch {
		case !slices.Contains(offered, m.Name):
		case strings.HasSuffix(m.Name, "-PLUS") && !n.canBind():
		case m.Name == sasl.Plain.Name && n.tls == nil:
			err = errPlain
		default:
			return m, offered, nil
		}
	}
	if err == nil {
		err = errNoLogin
	}
	return m, offered, err
}

// canBind says that both sides know the same kind of channel binding: tls-exporter
// for TLS 1.3 (RFC 9266), which the server must name (XEP-0440), tls-unique before.
func (n *negotiation) canBind() bool {
	if n.tls == nil {
		return false
	}
	var kinds []string
	for _, e := range n.features.Child(nsBinding, "sasl-channel-binding").children() {
		kinds = append(kinds, e.Attr("type"))
	}
	if n.tls.Version >= tls.VersionTLS13 {
		return slices.Contains(kinds, "tls-exporter")
	}
	return len(n.tls.TLSUnique) > 0 && (len(kinds) == 0 || slices.Contains(kinds, "tls-unique"))
}

func (e *Element) children() []*Element {
	if e == nil {
		return nil
	}
	return e.Children
}

// login proves who we are, and with SCRAM that the server knows the password, too.
func (n *negotiation) login() error {
	m, offered, err := n.choose()
	if err != nil {
		return err
	}
	n.mechanism = m.Name
	password := n.set.Password
	if prepared, err := precis.OpaqueString.String(password); err == nil {
		password = prepared // RFC 8265
	}
	options := []sasl.Option{
		sasl.RemoteMechanisms(offered...),
		sasl.Credentials(func() (_, _, _ []byte) { // name, password, and whom to act for
			return []byte(n.set.JID.Local), []byte(password), nil
		}),
	}
	if n.tls != nil {
		options = append(options, sasl.TLSState(*n.tls))
	}
	client := sasl.NewClient(m, options...)
	more, response, err := client.Step(nil)
	if err != nil {
		return fmt.Errorf("logging in by %s: %w", m.Name, err)
	}
	request := NewText(nsSASL, "auth", base64.StdEncoding.EncodeToString(response)).Set("mechanism", m.Name)
	for {
		answer, err := n.ask(request)
		if err != nil {
			return fmt.Errorf("logging in by %s: %w", m.Name, err)
		}
		if answer.Space != nsSASL || answer.Name != "challenge" && answer.Name != "success" {
			return authError(answer)
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(answer.Text), emptyData))
		if err != nil {
			return fmt.Errorf("logging in by %s: the server's challenge is no base64: %w", m.Name, err)
		}
		success := answer.Name == "success"
		if more && (len(challenge) > 0 || !success) {
			if more, response, err = step(client, challenge); err != nil {
				return fmt.Errorf("logging in by %s: %w", m.Name, err)
			}
		}
		switch {
		case success && more:
			return fmt.Errorf("logging in by %s: %w", m.Name, errUnproven)
		case success:
			return nil
		}
		request = NewText(nsSASL, "response", base64.StdEncoding.EncodeToString(response))
	}
}

// step answers a challenge of SCRAM (RFC 5802 §5.1). A field of another form would keep
// the library busy for ever.
func step(client *sasl.Negotiator, challenge []byte) (more bool, response []byte, err error) {
	for field := range strings.SplitSeq(string(challenge), ",") {
		if len(field) < 3 || field[1] != '=' {
			return false, nil, errChallenge
		}
		if count, is := strings.CutPrefix(field, "i="); is {
			if n, err := strconv.Atoi(count); err != nil || n < 1 || n > maxIterations {
				return false, nil, errChallenge
			}
		}
	}
	return client.Step(challenge)
}

// maxIterations bounds the work that a server may ask for: about a second.
const maxIterations = 1_000_000

// emptyData is how data of no bytes is written (RFC 6120 §6.4.2).
const emptyData = "="

func authError(e *Element) error {
	if e.Space != nsSASL || e.Name != "failure" {
		return unexpected(e, "the answer to the login")
	}
	found := &AuthError{Condition: "not-authorized", Text: e.ChildText(nsSASL, "text")}
	for _, c := range e.Children {
		if c.Name != "text" {
			found.Condition = c.Name
		}
	}
	return found
}

var (
	errUnproven  = errors.New("the server did not prove that it knows the password")
	errChallenge = errors.New("the server's challenge is malformed, or asks for too much work")
)
