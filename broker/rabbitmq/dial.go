package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/internal/tlsfiles"
)

// handshakeTimeout bounds TCP connect, TLS and AMQP handshakes together.
const handshakeTimeout = 15 * time.Second

// The connections on which RabbitMQ sends bodies.
const (
	roleConsume = "consume"
	roleBrowse  = "browse"
)

// dialer makes connections. Nothing it says contains the password.
type dialer struct {
	settings Settings
	host     string // host:port
	vhost    string
}

func newDialer(s Settings) (*dialer, error) {
	uri, err := amqp.ParseURI(s.URL)
	if err != nil {
		// The parser's error repeats the URL, password included.
		return nil, errors.New("the RabbitMQ URL is malformed: want amqp://user:password@host:port/vhost, special characters in the password percent-encoded (@ is %40, / is %2F, : is %3A)")
	}
	d := &dialer{settings: s, host: net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)), vhost: uri.Vhost}
	if _, err := d.tlsConfig(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *dialer) tlsConfig() (*tls.Config, error) {
	files := d.settings.TLS
	if files == (TLS{}) {
		return nil, nil // the library's own: the URL's parameters and the system's authorities
	}
	cfg, err := tlsfiles.Files{CA: files.CAFile, Cert: files.CertFile, Key: files.KeyFile}.Client(files.ServerName)
	if err != nil {
		return nil, fmt.Errorf("the TLS files for RabbitMQ: %w", err)
	}
	return cfg, nil
}

func (d *dialer) dial(ctx context.Context, role string) (*amqp.Connection, *socket, error) {
	cfg, err := d.tlsConfig()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	var sock *socket
	conn, err := amqp.DialConfig(d.settings.URL, amqp.Config{
		Heartbeat:       d.settings.Heartbeat,
		TLSClientConfig: cfg,
		Properties:      d.properties(role),
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			// Encrypted frames cannot be read along.
			metered := (role == roleConsume || role == roleBrowse) && !strings.HasPrefix(d.settings.URL, "amqps:")
			sock = newSocket(c, metered)
			sock.relayed.Store(metered && role == roleConsume && d.settings.DeadLetter != nil)
			// The library's handshakes know no context, but they notice this.
			context.AfterFunc(ctx, sock.abortHandshake)
			return sock, nil
		},
	})
	if sock != nil && (err != nil || !sock.handshakeDone()) {
		sock.Close()
		if err == nil {
			err = ctx.Err()
		}
	}
	var e *amqp.Error
	switch {
	case errors.As(err, &e) && e.Code == amqp.NotAllowed && strings.Contains(e.Reason, "vhost"):
		return nil, nil, fmt.Errorf("connecting to RabbitMQ on %s: the user cannot use vhost %q, the path of the URL: correct it, or let rabbitmqctl add_vhost and set_permissions: %w", d.host, d.vhost, err)
	case err != nil:
		return nil, nil, fmt.Errorf("connecting to RabbitMQ on %s: %w", d.host, err)
	}
	guardReading(sock, conn)
	return conn, sock, nil
}

// guardReading sets the first read deadline. The library sets the next ones with
// each frame, but none before the first.
func guardReading(s *socket, c *amqp.Connection) {
	if hb := c.Config.Heartbeat; hb > 0 {
		s.Conn.SetReadDeadline(time.Now().Add(3 * hb))
	}
}

func (d *dialer) properties(role string) amqp.Table {
	p := amqp.NewConnectionProperties()
	p["product"] = "Switchboard"
	p.SetClientConnectionName(fmt.Sprintf("%s (%s)", d.settings.Name, role))
	return p
}
