package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"switchboard/applications/conversation"
	"switchboard/message"
	"switchboard/options"
)

// Email is how messages are sent by e-mail, over SMTP with STARTTLS where the
// server offers it.
type Email struct {
	// Server is the mail server's host and port. Example: `mail.example.org:587`.
	Server string `yaml:"server"`
	// Username and password are the account; default none. A password is only sent
	// over TLS, or to this machine.
	Username string `yaml:"username"`
	// Password is the account's.
	Password options.Secret `yaml:"password"`
	// From is the sender's address.
	From string `yaml:"from"`
	// To are the receivers' addresses.
	To options.Names `yaml:"to"`
	// Subject is the subject. Default `Message from {from}`.
	Subject options.Text `yaml:"subject"`
	// Text is what it says. Default {content}.
	Text options.Text `yaml:"text"`
	// AllowPlain sends without TLS where the server offers none. Default false,
	// but for a server on this machine.
	AllowPlain bool `yaml:"allow_plain"`
}

// emailTimeout bounds the whole of an SMTP session.
const emailTimeout = time.Minute

func (e *Email) validate(names []string) error {
	if len(e.Subject) == 0 {
		e.Subject = options.Text{{Value: "Message from {from}"}}
	}
	if len(e.Text) == 0 {
		e.Text = options.Text{{Value: "{content}"}}
	}
	errs := []error{conversation.CheckTexts(e.Subject, names, "subject"), conversation.CheckTexts(e.Text, names, "text")}
	if _, _, err := net.SplitHostPort(e.Server); err != nil {
		errs = append(errs, options.Fieldf("server", "is %q; write host:port, such as mail.example.org:587", e.Server))
	}
	if _, err := mail.ParseAddress(e.From); err != nil {
		errs = append(errs, options.Fieldf("from", "is %q, no e-mail address", e.From))
	}
	if len(e.To) == 0 {
		errs = append(errs, options.Fieldf("to", "is missing; write who gets the messages"))
	}
	for _, to := range e.To {
		if _, err := mail.ParseAddress(to); err != nil {
			errs = append(errs, options.Field(fmt.Errorf("%q is no e-mail address", to), "to", to))
		}
	}
	return errors.Join(errs...)
}

// send sends one message. What the server refuses for good (5xx) is permanent.
func (e *Email) send(ctx context.Context, m *message.Message, values conversation.Values) error {
	err := e.deliver(ctx, e.compose(m, values))
	if refused, is := errors.AsType[*textproto.Error](err); is && refused.Code >= 500 {
		return message.Permanent(err)
	}
	return err
}

func (e *Email) deliver(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, emailTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", e.Server)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", e.Server, err)
	}
	if deadline, set := ctx.Deadline(); set {
		_ = conn.SetDeadline(deadline)
	}
	host, _, _ := net.SplitHostPort(e.Server)
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("greeting %s: %w", e.Server, err)
	}
	defer func() { _ = client.Close() }()
	if err := e.secure(client, host); err != nil {
		return err
	}
	if err := e.hand(client, text); err != nil {
		return fmt.Errorf("sending by %s: %w", e.Server, err)
	}
	_ = client.Quit() // the server has the mail: what it says now changes nothing
	return nil
}

func (e *Email) secure(client *smtp.Client, host string) error {
	here := host == "localhost" || net.ParseIP(host).IsLoopback()
	if offered, _ := client.Extension("STARTTLS"); offered {
		if err := client.StartTLS(&tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}); err != nil {
			return fmt.Errorf("securing the connection to %s: %w", e.Server, err)
		}
	} else if !here && !e.AllowPlain {
		return fmt.Errorf("%s offers no TLS; allow_plain: true sends in clear", e.Server)
	}
	if e.Username == "" {
		return nil
	}
	if err := client.Auth(smtp.PlainAuth("", e.Username, e.Password.Reveal(), host)); err != nil {
		return fmt.Errorf("logging in to %s: %w", e.Server, err)
	}
	return nil
}

func (e *Email) hand(client *smtp.Client, text []byte) error {
	from, _ := mail.ParseAddress(e.From) // checked by validate
	if err := client.Mail(from.Address); err != nil {
		return err
	}
	for _, to := range e.To {
		address, _ := mail.ParseAddress(to)
		if err := client.Rcpt(address.Address); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}

// maxLine is how many characters of base64 a line has (RFC 2045 §6.8).
const maxLine = 76

// compose writes the mail (RFC 5322). Its Message-ID is the message's, so that a
// mail that is sent twice can be recognised.
func (e *Email) compose(m *message.Message, values conversation.Values) []byte {
	var out bytes.Buffer
	line := func(name, value string) {
		// A line break would begin another header.
		_, _ = fmt.Fprintf(&out, "%s: %s\r\n", name, strings.NewReplacer("\r", " ", "\n", " ").Replace(value))
	}
	line("From", e.From)
	line("To", strings.Join(e.To, ", "))
	subject := strings.Join(strings.Fields(conversation.Fill(e.Subject.In(""), values)), " ")
	line("Subject", mime.QEncoding.Encode("utf-8", subject))
	line("Date", m.Timestamp.UTC().Format(time.RFC1123Z))
	line("Message-ID", "<"+strings.Map(idCharacter, m.ID)+"@switchboard>")
	line("MIME-Version", "1.0")
	line("Content-Type", "text/plain; charset=utf-8")
	line("Content-Transfer-Encoding", "base64")
	out.WriteString("\r\n")
	body := base64.StdEncoding.EncodeToString([]byte(conversation.Fill(e.Text.In(""), values)))
	for len(body) > 0 {
		n := min(maxLine, len(body))
		out.WriteString(body[:n] + "\r\n")
		body = body[n:]
	}
	return out.Bytes()
}

// idCharacter keeps what a Message-ID may hold.
func idCharacter(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
		return r
	}
	return '-'
}
