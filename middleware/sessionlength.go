package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
)

// SessionLength writes when a session began, and in its last message when it
// ended, into `helper_metadata.<field_name>`: `session_start` and `session_end`,
// in seconds since 1970. The replicas of a worker, and every worker that names
// the same transports, know the same sessions.
type SessionLength struct {
	// Timeout is how long a session is remembered that nobody closes.
	Timeout options.Duration `yaml:"timeout"`
	// NamespaceType tells sessions of one person apart: transport_name, or tag
	// for the message's tag (the tagging middleware must come first).
	NamespaceType string `yaml:"namespace_type"`
	// FieldName is the member of helper_metadata.
	FieldName string `yaml:"field_name"`
	// RedisManager is accepted and ignored.
	RedisManager any `yaml:"redis_manager"`

	state  store.State
	logger *slog.Logger
	now    func() time.Time
}

var _ worker.Middleware = (*SessionLength)(nil)

// The defaults of a SessionLength, and what it writes.
const (
	defaultSessionTimeout = 10 * time.Minute
	byTransport           = "transport_name"
	byTag                 = "tag"
	sessionStart          = "session_start"
	sessionEnd            = "session_end"
)

// NewSessionLength makes the middleware with its defaults.
func NewSessionLength() *SessionLength {
	return &SessionLength{
		Timeout: options.Duration(defaultSessionTimeout), NamespaceType: byTransport, FieldName: "session",
	}
}

// Validate checks the options.
func (s *SessionLength) Validate() error {
	switch {
	case s.Timeout <= 0:
		return options.Fieldf("timeout", "must be above 0")
	case s.NamespaceType != byTransport && s.NamespaceType != byTag:
		return options.Fieldf("namespace_type", "is %q; write %s or %s", s.NamespaceType, byTransport, byTag)
	case s.FieldName == "":
		return options.Fieldf("field_name", "must not be empty")
	}
	return nil
}

// Provision takes the worker's state and logger.
func (s *SessionLength) Provision(_ context.Context, env worker.Env) error {
	s.state, s.logger, s.now = env.Shared("session_length"), env.Logger, env.Now
	if s.RedisManager != nil {
		s.logger.Warn("redis_manager is of no use here and ignored: the state store takes its place", "middleware", "session_length")
	}
	return nil
}

// Wrap notes the session's times in messages.
func (s *SessionLength) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if flow == message.EventFlow {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if err := s.mark(ctx, e); err != nil {
			return err
		}
		return next(ctx, e)
	}
}

func (s *SessionLength) mark(ctx context.Context, e *message.Envelope) error {
	key, ok := s.key(e)
	if !ok {
		s.logger.Debug("a message without address or namespace has no session length", "message_id", e.ID())
		return nil
	}
	times := e.Message.HelperMetadata.Object(s.FieldName)
	before := times.String()
	err := s.note(ctx, e.Message, key, &times)
	if times.String() != before {
		e.Message.HelperMetadata.Set(s.FieldName, times)
	}
	return err
}

func (s *SessionLength) key(e *message.Envelope) (key string, ok bool) {
	namespace, person := e.Message.TransportName, e.Person()
	if s.NamespaceType == byTag {
		pool, name, tagged := tagOf(e.Message)
		if !tagged {
			return "", false
		}
		namespace = pool + ":" + name
	}
	return namespace + "/" + person, namespace != "" && person != ""
}

func (s *SessionLength) note(ctx context.Context, m *message.Message, key string, times *message.Object) error {
	if m.SessionEvent == message.SessionClose && times.Raw(sessionEnd) == "" {
		times.Set(sessionEnd, seconds(s.now()))
	}
	if times.Raw(sessionStart) != "" {
		return nil
	}
	if m.SessionEvent == message.SessionNew {
		now := seconds(s.now())
		times.Set(sessionStart, now)
		return s.set(ctx, key, string(now))
	}
	return s.recall(ctx, m, key, times)
}

// recall fetches when the session began. A closed session is remembered with
// the message that closed it, since that message may be handled again; to all
// others it is gone.
func (s *SessionLength) recall(ctx context.Context, m *message.Message, key string, times *message.Object) error {
	found, err := s.state.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("asking when the session of message %s began: %w", m.ID, err)
	}
	start, closer, closed := strings.Cut(found[key], " ")
	if start == "" || closed && closer != m.ID {
		return nil
	}
	times.Set(sessionStart, number(start))
	if m.SessionEvent == message.SessionClose && !closed {
		return s.set(ctx, key, start+" "+m.ID)
	}
	return nil
}

func (s *SessionLength) set(ctx context.Context, key, value string) error {
	if err := s.state.Set(ctx, store.Entry{Key: key, Value: value, TTL: s.Timeout.Std()}); err != nil {
		return fmt.Errorf("remembering a session: %w", err)
	}
	return nil
}

// number is the text of a JSON number.
type number string

// MarshalJSON writes it.
func (n number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func seconds(t time.Time) number {
	return number(strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', 6, 64))
}
