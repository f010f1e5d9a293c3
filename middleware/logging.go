// Package middleware is what can be laid around any worker, one middleware a
// file. A worker's YAML lists them under `middleware`.
package middleware

import (
	"context"
	"fmt"
	"log/slog"

	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// Logging logs every envelope that passes. Content is logged at debug only,
// whatever the level: messages are private.
type Logging struct {
	// LogLevel is the level of each line: debug, info (the default), warning or
	// error.
	LogLevel string `yaml:"log_level"`
	// FailureLogLevel is the level for nacks and failed delivery reports; error
	// is the default.
	FailureLogLevel string `yaml:"failure_log_level"`

	level, failureLevel slog.Level
	logger              *slog.Logger
	publishes           func(message.Flow) bool
}

var _ worker.Middleware = (*Logging)(nil)

// NewLogging makes the middleware with its defaults.
func NewLogging() *Logging {
	return &Logging{LogLevel: "info", FailureLogLevel: "error", failureLevel: slog.LevelError}
}

// Validate checks the levels.
func (l *Logging) Validate() (err error) {
	if l.level, err = level(l.LogLevel); err != nil {
		return options.Field(err, "log_level")
	}
	if l.failureLevel, err = level(l.FailureLogLevel); err != nil {
		return options.Field(err, "failure_log_level")
	}
	return nil
}

func level(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warning", "warn":
		return slog.LevelWarn, nil
	case "error", "critical":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("is %q; write debug, info, warning or error", name)
}

// Provision takes the worker's logger.
func (l *Logging) Provision(_ context.Context, env worker.Env) error {
	l.logger, l.publishes = env.Logger, env.Publishes
	return nil
}

// Wrap logs every envelope before it is handled.
func (l *Logging) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	what := "consumed"
	if l.publishes(flow) {
		what = "published"
	}
	return func(ctx context.Context, e *message.Envelope) error {
		l.log(ctx, what, e)
		return next(ctx, e)
	}
}

func (l *Logging) log(ctx context.Context, what string, e *message.Envelope) {
	attrs := []any{"connector", e.Connector, "flow", e.Flow, "message_id", e.ID()}
	level := l.level
	switch {
	case e.Event != nil:
		attrs = append(attrs, "event_type", e.Event.Type, "event_id", e.Event.ID)
		if e.Event.Type == message.Nack || e.Event.DeliveryStatus == message.Failed {
			level = l.failureLevel
		}
	default:
		attrs = append(attrs, "from", e.Message.From, "to", e.Message.To)
		if l.logger.Enabled(ctx, slog.LevelDebug) {
			l.logger.DebugContext(ctx, what+" content", "message_id", e.ID(), "content", e.Message.Content)
		}
	}
	l.logger.Log(ctx, level, what, attrs...)
}
