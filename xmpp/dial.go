package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Settings say where a session goes, and who takes what comes. A zero duration takes
// the default.
type Settings struct {
	// JID is the account; of a component, its domain.
	JID      JID
	Password string
	// Secret makes the session a component's (XEP-0114).
	Secret string
	// Address is host:port, in place of what DNS says of the JID's domain.
	Address string
	// DirectTLS begins with TLS at Address (XEP-0368); else STARTTLS is used.
	DirectTLS bool
	// Plaintext goes without TLS.
	Plaintext bool
	// TLS makes the configuration of a connection. The server name is filled in: a
	// certificate must be for the JID's domain, whatever the server's address.
	TLS func() (*tls.Config, error)
	// PingInterval is after how long a silence the server is asked whether it is
	// there; 60 s. PingTimeout is how long it may take to answer that, or to
	// acknowledge what was sent; 30 s.
	PingInterval, PingTimeout time.Duration
	// Handle takes a message or presence, in the order of their coming. It must not
	// block, and calls handled, from any goroutine, once the stanza is safe: only
	// then is it acknowledged.
	Handle func(stanza *Element, handled func())
	// Serve answers an iq get or set; nil is service-unavailable.
	Serve func(iq *Element) *Element
	// LookupSRV is net.Resolver's; for tests.
	LookupSRV func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	Logger    *slog.Logger
}

const (
	clientPort    = "5222"
	componentPort = "5347"
	// connectTimeout is how long one address may take to be connected to.
	connectTimeout = 10 * time.Second
	// handledTimeout is how long resuming waits for what the lost connection brought:
	// what is not handled comes again.
	handledTimeout = 5 * time.Second
)

// Dial negotiates a session; ctx bounds how long that takes. Prior, which may be nil,
// is an earlier session, to be resumed. When the server no longer knows it, its stanzas
// end with ErrUnknown; when Dial fails it is as it was.
func Dial(ctx context.Context, set Settings, prior *Resumption) (*Session, error) {
	set = set.withDefaults()
	if prior != nil {
		waiting, cancel := context.WithTimeout(ctx, handledTimeout)
		_ = prior.in.await(waiting, 0)
		cancel()
		if prior.location != "" {
			elsewhere := set
			elsewhere.Address = prior.location
			if s, err := dialAddress(ctx, elsewhere, prior); err == nil {
				return s, nil
			}
		}
	}
	s, err := dialAddress(ctx, set, prior)
	if moved, is := errors.AsType[*StreamError](err); is && moved.OtherHost != "" {
		set.Address = withPort(moved.OtherHost, clientPort) // once; the next Dial asks DNS again
		return dialAddress(ctx, set, prior)
	}
	return s, err
}

func (set Settings) withDefaults() Settings {
	if set.PingInterval == 0 {
		set.PingInterval = time.Minute
	}
	if set.PingTimeout == 0 {
		set.PingTimeout = 30 * time.Second
	}
	if set.Logger == nil {
		set.Logger = slog.New(slog.DiscardHandler)
	}
	if set.LookupSRV == nil {
		set.LookupSRV = net.DefaultResolver.LookupSRV
	}
	return set
}

func dialAddress(ctx context.Context, set Settings, prior *Resumption) (*Session, error) {
	conn, direct, err := set.connect(ctx)
	if err != nil {
		return nil, err
	}
	n := &negotiation{ctx: ctx, set: set, conn: conn}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if deadline, bounded := ctx.Deadline(); bounded {
		_ = conn.SetDeadline(deadline)
	}
	s, err := n.run(direct, prior)
	if err != nil {
		_ = n.conn.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", err, ctx.Err())
		}
		return nil, err
	}
	_ = n.conn.SetDeadline(time.Time{})
	return s, nil
}

// target is an address to try.
type target struct {
	address string
	direct  bool // TLS from the first byte
}

// connect connects to the first target that answers.
func (set *Settings) connect(ctx context.Context) (net.Conn, bool, error) {
	targets, err := set.targets(ctx)
	if err != nil {
		return nil, false, err
	}
	var errs []error
	for _, t := range targets {
		d := net.Dialer{Timeout: connectTimeout}
		conn, err := d.DialContext(ctx, "tcp", t.address)
		if err == nil {
			return conn, t.direct, nil
		}
		errs = append(errs, fmt.Errorf("connecting to %s: %w", t.address, err))
	}
	return nil, false, errors.Join(errs...)
}

var errNoService = errors.New("DNS says that the domain has no XMPP service")

// targets are the addresses to try, in order: one that was given, else what the SRV
// records say (RFC 6120 §3.2.1, XEP-0368), else the domain itself.
func (set *Settings) targets(ctx context.Context) ([]target, error) {
	if set.Secret != "" {
		return []target{{withPort(set.Address, componentPort), set.DirectTLS}}, nil
	}
	if set.Address != "" {
		return []target{{withPort(set.Address, clientPort), set.DirectTLS}}, nil
	}
	var records []*net.SRV
	direct := map[*net.SRV]bool{}
	refused := false
	for _, service := range [...]string{"xmpps-client", "xmpp-client"} {
		_, found, err := set.LookupSRV(ctx, service, "tcp", set.JID.Domain)
		if err != nil {
			continue // no such records, or no DNS: the domain itself is tried
		}
		for _, r := range found {
			if r.Target == "." {
				refused = true
				continue
			}
			records = append(records, r)
			direct[r] = service == "xmpps-client"
		}
	}
	if len(records) == 0 && refused {
		return nil, errNoService
	}
	// Each lookup is sorted by priority and shuffled by weight; both kinds are one set.
	sortByPriority(records)
	var list []target
	for _, r := range records {
		list = append(list, target{net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))), direct[r]})
	}
	if len(list) == 0 {
		list = []target{{net.JoinHostPort(set.JID.Domain, clientPort), set.DirectTLS}}
	}
	return list, nil
}

func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}
