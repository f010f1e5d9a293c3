package xmpp

import (
	"errors"
	"fmt"
)

// StreamError is why a server closed the stream (RFC 6120 §4.9).
type StreamError struct {
	Condition string // host-unknown, conflict, …
	Text      string
	OtherHost string // of see-other-host: where to go
}

func (e *StreamError) Error() string {
	return "the server closed the stream: " + words(e.Condition, e.Text)
}

// AuthError is why a server does not let us in (RFC 6120 §6.5, XEP-0114).
type AuthError struct{ Condition, Text string }

func (e *AuthError) Error() string {
	return "the server refused the login: " + words(e.Condition, e.Text)
}

func words(condition, text string) string {
	if text == "" {
		return condition
	}
	return condition + ": " + text
}

var (
	// ErrUnknown is a stanza's error when nobody knows whether the server has it: the
	// connection was lost, and the session could not be resumed.
	ErrUnknown = errors.New("the connection was lost before the server acknowledged the stanza")
	// ErrEnded is a Session's error after its end: the stanza was not sent.
	ErrEnded = errors.New("the XMPP session has ended")

	errSilent  = errors.New("the server has not answered for too long; the connection is given up")
	errCut     = errors.New("the server closed the connection")
	errClosed  = errors.New("the server closed the stream")
	errNoTLS   = errors.New("the server offers no TLS; a server that is reached safely without it takes tls: none")
	errPlain   = errors.New("the server offers no login that is safe without TLS")
	errNoLogin = errors.New("the server offers no login that is known here (SCRAM-SHA-256, SCRAM-SHA-1, PLAIN over TLS)")
	errEarly   = errors.New("the server sent something before TLS began, which somebody in between may have written")
)

// IsConflict says that another connection took this one's address.
func IsConflict(err error) bool {
	e, is := errors.AsType[*StreamError](err)
	return is && e.Condition == "conflict"
}

// IsViolation says that the server ended the stream over its policy (RFC 6120 §4.9.3.14): a
// stanza is too large for it, or something else that it does not say.
func IsViolation(err error) bool {
	e, is := errors.AsType[*StreamError](err)
	return is && e.Condition == "policy-violation"
}

func isStreamError(err error) bool {
	_, is := errors.AsType[*StreamError](err)
	return is
}

// IsPermanent says that connecting again cannot help until somebody changes the
// configuration, here or at the server.
func IsPermanent(err error) bool {
	if e, is := errors.AsType[*AuthError](err); is {
		return e.Condition != "temporary-auth-failure"
	}
	if e, is := errors.AsType[*StreamError](err); is {
		switch e.Condition {
		case "not-authorized", "invalid-namespace", "host-unknown", "bad-format", "unsupported-version":
			return true
		}
	}
	return errors.Is(err, errPlain) || errors.Is(err, errNoLogin) || errors.Is(err, errNoTLS)
}

// streamError reads <stream:error/>.
func streamError(e *Element) error {
	found := &StreamError{Condition: "undefined-condition"}
	for _, c := range e.Children {
		switch {
		case c.Space != nsStreamErr:
		case c.Name == "text":
			found.Text = c.Text
		default:
			found.Condition = c.Name
			if c.Name == "see-other-host" {
				found.OtherHost = c.Text
			}
		}
	}
	return found
}

func unexpected(e *Element, awaited string) error {
	if e.Space == nsStream && e.Name == "error" {
		return streamError(e)
	}
	return fmt.Errorf("the server sent <%s/> where %s was to come", e.Name, awaited)
}
