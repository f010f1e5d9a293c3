// Package httptester is a transport to try applications with: phones in the
// browser. Its page needs no login, so it is for testing and demonstrations.
package httptester

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/internal/listen"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
)

// Transport serves a page where one types as any phone number and sees the
// answers appear.
type Transport struct {
	// TransportName is the transport's connector; the page shows it.
	TransportName string `yaml:"transport_name"`
	// WebHost is the address of this machine that the page is served on;
	// default localhost, which only this machine can reach. In a container
	// write 0.0.0.0.
	WebHost string `yaml:"web_host"`
	// WebPort is the TCP port of the page; 0 takes any free one. Default 8081.
	WebPort int `yaml:"web_port"`
	// WebPath is the path of the page; default /. Example: /phone/.
	WebPath string `yaml:"web_path"`
	// ToAddr is the address that messages are sent to unless the page says
	// otherwise; default 8080.
	ToAddr string `yaml:"to_addr"`
	// Hint is what an empty phone suggests to type. Default: Type something.
	Hint string `yaml:"hint"`
	// TransportType is the messages' transport_type; default sms. Within a
	// session that is begun on the page it is ussd.
	TransportType string `yaml:"transport_type"`

	logger  *slog.Logger
	port    listen.Port
	history *history
	turns   turns
}

var _ transports.Transport = (*Transport)(nil)

const (
	defaultPort   = 8081
	defaultToAddr = "8080"
	sessionType   = "ussd"
)

// New makes a transport with its defaults.
func New() *Transport {
	return &Transport{
		WebHost: "localhost", WebPort: defaultPort, WebPath: "/", ToAddr: defaultToAddr, TransportType: "sms", Hint: "Type something",
		logger: slog.New(slog.DiscardHandler), history: newHistory(), turns: newTurns(),
	}
}

// Validate checks the options.
func (t *Transport) Validate() error {
	errs := []error{options.Port("web_port", t.WebPort)}
	if !strings.HasPrefix(t.WebPath, "/") || strings.ContainsAny(t.WebPath, "{} ?#%\\") || strings.Contains(t.WebPath, "//") {
		errs = append(errs, options.Fieldf("web_path", "is %q; write a plain path such as /phone/", t.WebPath))
	}
	if t.ToAddr == "" {
		errs = append(errs, options.Fieldf("to_addr", "must not be empty: replies come from it"))
	}
	return errors.Join(errs...)
}

// Provision takes the logger.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	t.logger = env.Logger
	return nil
}

// Addr is the address the page is served on; it waits until it is.
func (t *Transport) Addr(ctx context.Context) (net.Addr, error) { return t.port.Addr(ctx) }

// stopGrace is how long a stop waits for messages on their way to the broker.
const stopGrace = 3 * time.Second

// Run serves the page until ctx ends.
func (t *Transport) Run(ctx context.Context, line transports.Publisher) error {
	listener, err := t.port.Open(ctx, net.JoinHostPort(t.WebHost, strconv.Itoa(t.WebPort)), "web_port")
	if err != nil {
		return message.Permanent(err)
	}
	defer t.port.Forget()
	t.logger.Info("serving phones", "url", "http://"+listener.Addr().String()+t.path())
	statuses := transports.NewStatuses(line, t.logger)
	statuses.Tell("listener", message.OK, "listening", "The page is served.")
	var group sync.WaitGroup
	background, end := context.WithCancel(ctx)
	group.Go(func() { statuses.Run(background) })
	defer func() {
		end()
		group.Wait()
	}()
	return listen.Serve(ctx, listen.HTTPServer(newSite(t, line, ctx.Done())), listen.Limited(listener), stopGrace, t.logger)
}

func (t *Transport) path() string { return strings.TrimSuffix(t.WebPath, "/") + "/" }

var errNoAddress = errors.New("the message has no to_addr: there is no phone to show it on")

// Send shows a message on the phone with its to_addr, whether or not a page has
// that phone open. It waits until the page is served, and until a message from
// the same phone is with the broker, so that no answer is above its question.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	if m.To == "" {
		return "", message.Permanent(errNoAddress)
	}
	if _, err := t.port.Addr(ctx); err != nil {
		return "", err
	}
	done, err := t.turns.take(ctx, m.To)
	if err != nil {
		return "", err
	}
	defer done()
	t.history.add(entry{
		Flow: message.Outbound, Phone: m.To, Other: m.From, Content: shorten(m.Content), Session: m.SessionEvent,
	})
	return "", nil
}

// maxShown is how much of a message's text the page shows, in bytes.
const maxShown = 16 << 10

func shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
