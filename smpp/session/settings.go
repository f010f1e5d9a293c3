package session

import (
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"switchboard/smpp/pdu"
)

// What a Settings field is when it is zero.
const (
	DefaultWindow          = 10
	DefaultBindTimeout     = 30 * time.Second
	DefaultResponseTimeout = 30 * time.Second
	DefaultEnquireInterval = 30 * time.Second
	DefaultWriteTimeout    = 10 * time.Second
)

const (
	// readBuffer is how much is taken from the kernel at once, in octets: some
	// 150 submit_sm.
	readBuffer = 32 << 10
	// highWater is how much may wait to be written before no more is read.
	highWater = 256 << 10
	// maxPending is how much may wait to be written at all; a peer that takes
	// less is dropped.
	maxPending = 32 << 20
	// shortestTick and longestTick bound how often time-outs are looked at.
	shortestTick = 5 * time.Millisecond
	longestTick  = time.Second
)

// Settings are a server's limits. The zero value has the defaults.
type Settings struct {
	Version         uint8         // the highest spoken, pdu.Version34 unless set
	SystemID        string        // ours, in bind responses
	BindTimeout     time.Duration // from the connection to a granted bind
	ResponseTimeout time.Duration // for an answer to a request of ours
	EnquireInterval time.Duration // of silence before enquire_link is sent; negative: never
	Inactivity      time.Duration // without a request other than enquire_link before a session is ended; 0: never
	WriteTimeout    time.Duration // for the peer to take what is written
	MaxLength       int           // of a PDU, in octets; pdu.DefaultMaxLength unless set
	MaxSessions     int           // at once, bound or not; 0: any number. Who has not bound makes room for who comes
	Logger          *slog.Logger  // slog.Default unless set

	complaints *complaints // the server's
}

func (s Settings) withDefaults() Settings {
	or := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	or(&s.BindTimeout, DefaultBindTimeout)
	or(&s.ResponseTimeout, DefaultResponseTimeout)
	or(&s.EnquireInterval, DefaultEnquireInterval)
	or(&s.WriteTimeout, DefaultWriteTimeout)
	if s.Version == 0 {
		s.Version = pdu.Version34
	}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	s.complaints = &complaints{told: map[string]*complaint{}}
	return s
}

// Limits are what one session may do.
type Limits struct {
	Window     int     // requests of ours in flight; DefaultWindow unless set
	Unanswered int     // requests of the peer's in flight, more get ESME_RTHROTTLED; 0: any number
	TPS        float64 // messages the peer may submit a second, more get ESME_RTHROTTLED; 0: any number
	Burst      int     // messages above TPS in one go; at least 1
}

func (l Limits) limiter() *rate.Limiter {
	if l.TPS <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(l.TPS), max(l.Burst, 1))
}

// Grant is the answer to a bind.
type Grant struct {
	Status pdu.Status // pdu.StatusOK grants it; the connection is closed otherwise
	Limits Limits
}

// Handler is what a server does with what its peers ask.
//   - For one session its methods are called one at a time, Closed last; for
//     several sessions at once.
//   - A panic ends that session, logged with its stack, and no other.
//   - While a method runs nothing more is read from its session. Requests are
//     answered with Session.Answer, then or later, by any goroutine.
type Handler interface {
	// Bind judges a bind: a bind_transmitter, bind_receiver or
	// bind_transceiver. Peer is not yet set on the session.
	Bind(s *Session, b *pdu.Bind) Grant
	// Bound says that the bind was granted and answered: from now on the session
	// can be sent requests.
	Bound(s *Session)
	// Request takes a request that the session's kind of bind allows. Binds,
	// unbind and enquire_link do not come here.
	Request(s *Session, p *pdu.PDU)
	// Closed says that a session is over, also one that was never bound.
	Closed(s *Session, reason error)
}

// Observer is a Handler that also sees what the server deals with itself.
type Observer interface {
	// Opened is called before anything else of a session. Nothing is accepted
	// while it runs.
	Opened(s *Session)
	// Intercept is shown every PDU that comes. When it returns true nothing is
	// done with the PDU.
	Intercept(s *Session, p *pdu.PDU) (taken bool)
	// Unreadable is shown what came and was no valid PDU.
	Unreadable(s *Session, e *pdu.Error)
}

// The reasons for which a session or a request ends.
var (
	ErrClosed      = errors.New("the session is closed")
	ErrNotBound    = errors.New("the session is not bound")
	ErrUnbound     = errors.New("the peer unbound")
	ErrHungUp      = errors.New("the peer closed the connection without unbind")
	ErrTimeout     = errors.New("the request was not answered in time")
	ErrWindowFull  = errors.New("as many requests as the window allows are unanswered")
	ErrSilent      = errors.New("the peer did not answer enquire_link")
	ErrBindTimeout = errors.New("the peer did not bind in time")
	ErrCrowdedOut  = errors.New("others came while the peer had not bound")
	ErrInactive    = errors.New("the peer made no request for too long")
	ErrRefused     = errors.New("the bind was refused")
	ErrStuck       = errors.New("the peer takes nothing of what is written")
	ErrShutdown    = errors.New("the server is shutting down")
)
