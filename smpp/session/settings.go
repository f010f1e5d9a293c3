package session

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"switchboard/internal/loglimit"
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
	// maxBacklog is how much may wait to be written before Send takes no more.
	maxBacklog = 128 << 10
	// highWater is how much may wait to be written before no more is read.
	highWater = 256 << 10
	// maxPending is how much may wait to be written at all; a peer that takes
	// less is dropped.
	maxPending = 32 << 20
	// maxLate is how many unanswered requests keep waiting for a late answer.
	maxLate = 10_000
	// answerGrace is how long answers to our requests may take after an ESME's
	// unbind, and submitGrace after an SMSC's: what becomes of a submit without an
	// answer may never be known.
	answerGrace = 2 * time.Second
	submitGrace = 10 * time.Second
	// shortestTick and longestTick bound how often time-outs are looked at.
	shortestTick = 5 * time.Millisecond
	longestTick  = time.Second
)

// Settings are the limits of a Client or a Server. The zero value has the defaults.
type Settings struct {
	Version         uint8         // the highest spoken, pdu.Version34 unless set
	SystemID        string        // a server's, in bind responses
	BindTimeout     time.Duration // from the connection to a granted bind
	ResponseTimeout time.Duration // for an answer to a request of ours
	EnquireInterval time.Duration // of silence before enquire_link is sent; negative: never
	EnquireTimeout  time.Duration // of further silence before the session ends; ResponseTimeout unless set
	WriteTimeout    time.Duration // for the peer to take what is written
	MaxSessions     int           // of a server at once, bound or not; 0: any number. Who has not bound makes room for who comes
	Logger          *slog.Logger  // slog.Default unless set

	// LateAnswers passes answers that come after ErrTimeout to their request's
	// done, which is then called a second time.
	LateAnswers bool
	// OnMalformed gets every PDU that cannot be read.
	OnMalformed func(s *Session, e *pdu.Error)
	// OnStray gets every PDU the peer should not have sent: an answer that
	// no request waits for, a request this side does not serve.
	OnStray func(s *Session, p *pdu.PDU)

	limiter *loglimit.Limiter // shared by all sessions of a Client or Server
}

func (s Settings) withDefaults() Settings {
	s.BindTimeout = cmp.Or(s.BindTimeout, DefaultBindTimeout)
	s.ResponseTimeout = cmp.Or(s.ResponseTimeout, DefaultResponseTimeout)
	s.EnquireInterval = cmp.Or(s.EnquireInterval, DefaultEnquireInterval)
	s.EnquireTimeout = cmp.Or(s.EnquireTimeout, s.ResponseTimeout)
	s.WriteTimeout = cmp.Or(s.WriteTimeout, DefaultWriteTimeout)
	s.Version = cmp.Or(s.Version, pdu.Version34)
	s.Logger = cmp.Or(s.Logger, slog.Default())
	if s.OnMalformed == nil {
		s.OnMalformed = func(*Session, *pdu.Error) {}
	}
	if s.OnStray == nil {
		s.OnStray = func(*Session, *pdu.PDU) {}
	}
	s.limiter = loglimit.New(time.Minute)
	return s
}

// Grant is the answer to a bind.
type Grant struct {
	Status pdu.Status // pdu.StatusOK grants it; the connection is closed otherwise
	Window int        // requests of ours in flight; DefaultWindow unless set
}

// Handler is what either side does with what its peers ask.
//   - For one session its methods are called one at a time, Closed last; for
//     several sessions at once.
//   - A panic ends that session, logged with its stack, and no other.
//   - While a method runs nothing more is read from its session. Requests are
//     answered with Session.Answer, then or later, by any goroutine.
type Handler interface {
	// Bound says that the session is bound, and can be sent requests.
	Bound(s *Session)
	// Request takes a request that the session's kind of bind allows. Binds,
	// unbind and enquire_link do not come here.
	Request(s *Session, p *pdu.PDU)
	// Closed says that a session is over, also one that was never bound.
	Closed(s *Session, reason error)
}

// Acceptor is a server's Handler.
type Acceptor interface {
	Handler
	// Bind judges a bind: a bind_transmitter, bind_receiver or
	// bind_transceiver. Peer is not yet set on the session.
	Bind(s *Session, b *pdu.Bind) Grant
}

// Interceptor is an Acceptor that sees everything first; for simulators.
type Interceptor interface {
	// Opened is called before anything else of a session. Nothing is accepted
	// while it runs.
	Opened(s *Session)
	// Intercept is shown every PDU that comes. When it returns true nothing is
	// done with the PDU.
	Intercept(s *Session, p *pdu.PDU) (taken bool)
}

// The reasons for which a session or a request ends.
var (
	ErrClosed      = errors.New("the session is closed")
	ErrNotSent     = fmt.Errorf("%w, and the request was not written to it", ErrClosed)
	ErrNotBound    = errors.New("the session is not bound")
	ErrUnbound     = errors.New("the peer unbound")
	ErrHungUp      = errors.New("the peer closed the connection without unbind")
	ErrTimeout     = errors.New("the request was not answered in time")
	ErrWindowFull  = errors.New("as many requests as the window allows are unanswered")
	ErrSilent      = errors.New("the peer did not answer enquire_link")
	ErrBindTimeout = errors.New("the peer did not bind, or did not answer the bind, in time")
	ErrEvicted     = errors.New("others came while the peer had not bound")
	ErrRefused     = errors.New("the bind was refused")
	ErrStuck       = errors.New("the peer takes nothing of what is written")
	ErrShutdown    = errors.New("this side ends the session")
	ErrNoOutbind   = errors.New("the peer did not ask to be bound to as configured")
)

// RefusedError is an SMSC's refusal of a Client's bind.
type RefusedError struct{ Status pdu.Status }

// Error says the status and its meaning.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the SMSC refused the bind: %s: %s", e.Status, e.Status.Words())
}

// Is makes it an ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }
