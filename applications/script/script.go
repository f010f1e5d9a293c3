// Package script is an application in JavaScript, in a sandbox: a script sees the
// message, what it stored and the hosts it may ask, and nothing else. One that
// loops, allocates or floods is stopped; its message is dead-lettered with the
// script's line, and the worker goes on.
package script

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dop251/goja"

	"switchboard/applications"
	"switchboard/applications/conversation"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
)

// Application runs the function onMessage(message) of a script (ECMAScript 2015 and
// most of what came later; no modules) for each message.
type Application struct {
	// File is the script, from the directory of this file. A change of it is taken
	// up with the next message; a script that does not compile leaves the old one.
	// Example: `poll.js`.
	File options.Path `yaml:"file"`
	// Code is the script itself, instead of file.
	Code string `yaml:"code"`
	// Config is what the script knows as config.
	Config map[string]any `yaml:"config"`
	// Timeout is how long one message may take, HTTP calls included. Default 5s.
	Timeout options.Duration `yaml:"timeout"`
	// MaxMemory is how much memory one message may take, in bytes, about.
	MaxMemory int64 `yaml:"max_memory"`
	// MaxSends is how many replies and other messages one message may cause.
	MaxSends int `yaml:"max_sends"`
	// MaxCalls is how many HTTP calls and reads of stored values one message may
	// cause.
	MaxCalls int `yaml:"max_calls"`
	// MaxState is how much may be stored under one key, in bytes.
	MaxState int `yaml:"max_state"`
	// AllowHosts are the hosts that the script may ask over HTTP; default none.
	// Example: `[api.example.org]`.
	AllowHosts options.Names `yaml:"allow_hosts"`
	// AllowPrivate lets them be in private networks or on this machine.
	AllowPrivate bool `yaml:"allow_private"`
	// Remember is how long what is stored is kept after it was written; default
	// 2160h.
	Remember options.Duration `yaml:"remember"`

	logger *slog.Logger
	now    func() time.Time
	state  store.State
	web    *webclient.Client

	mu      sync.Mutex // one message at a time: what a script shares between people has one writer
	program *goja.Program
	stamp   stamp
	looked  time.Time
}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
	_ applications.Linter       = (*Application)(nil)
)

const (
	defaultTimeout   = 5 * time.Second
	defaultMaxMemory = 64 << 20
	defaultMaxSends  = 10
	defaultMaxCalls  = 100
	defaultMaxState  = 64 << 10
	defaultRemember  = 90 * 24 * time.Hour
	// maxScript is how long a script may be, in bytes.
	maxScript = 1 << 20
	// maxText is how long a message that a script sends may be, in bytes.
	maxText = 64 << 10
	// lookInterval is how often the file is looked at.
	lookInterval = time.Second
)

// New is an Application with its defaults.
func New() *Application {
	return &Application{
		Timeout: options.Duration(defaultTimeout), MaxMemory: defaultMaxMemory, MaxSends: defaultMaxSends,
		MaxCalls: defaultMaxCalls, MaxState: defaultMaxState, Remember: options.Duration(defaultRemember),
	}
}

// Validate compiles the script.
func (a *Application) Validate() error {
	var errs []error
	for _, limit := range []struct {
		key   string
		value int64
	}{
		{"timeout", int64(a.Timeout)},
		{"max_memory", a.MaxMemory},
		{"max_sends", int64(a.MaxSends)},
		{"max_calls", int64(a.MaxCalls)},
		{"max_state", int64(a.MaxState)},
		{"remember", int64(a.Remember)},
	} {
		if limit.value <= 0 {
			errs = append(errs, options.Fieldf(limit.key, "must be above 0"))
		}
	}
	switch {
	case (a.File == "") == (a.Code == ""):
		errs = append(errs, options.Fieldf("file", "must name the script; or write it under code"))
	case a.Code != "":
		program, err := compile("code", a.Code)
		if a.program = program; err != nil {
			errs = append(errs, options.Field(err, "code"))
		}
	default:
		if err := a.load(); err != nil {
			errs = append(errs, options.Field(err, "file"))
		}
	}
	return errors.Join(errs...)
}

// Lint warns of limits that give no protection.
func (a *Application) Lint() error {
	if a.AllowPrivate && len(a.AllowHosts) == 0 {
		return options.Fieldf("allow_private", "changes nothing without allow_hosts")
	}
	return nil
}

// compile compiles a script; name is what its lines are called by.
func compile(name, text string) (*goja.Program, error) {
	if len(text) > maxScript {
		return nil, fmt.Errorf("is longer than %d bytes", maxScript)
	}
	boundRegexps()
	program, err := goja.Compile(name, text, true)
	if err != nil {
		return nil, fmt.Errorf("does not compile: %w", err)
	}
	return program, nil
}

// stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// load reads the script where its file was changed.
func (a *Application) load() error {
	info, err := os.Stat(string(a.File))
	if err != nil {
		return err
	}
	now := stamp{info.ModTime(), info.Size()}
	if a.program != nil && now == a.stamp {
		return nil
	}
	a.stamp = now // one that does not compile is not read again and again
	if info.Size() > maxScript {
		return fmt.Errorf("%s is longer than %d bytes", a.File, maxScript)
	}
	text, err := os.ReadFile(string(a.File))
	if err != nil {
		return err
	}
	program, err := compile(filepath.Base(string(a.File)), string(text))
	if err != nil {
		return err
	}
	a.program = program
	return nil
}

// reload takes a changed script up; one that is wrong leaves the old one.
func (a *Application) reload() {
	if a.File == "" || time.Since(a.looked) < lookInterval {
		return
	}
	a.looked = time.Now()
	before := a.program
	if err := a.load(); err != nil {
		a.logger.Error("the script was changed and is wrong; the old one stays", "file", a.File, "error", err)
		return
	}
	if a.program != before {
		a.logger.Info("the script was changed and is taken up", "file", a.File)
	}
}

// Provision takes the state and the network.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	a.logger, a.now, a.state = env.Logger, env.Now, env.State
	a.web = webclient.New(webclient.Settings{
		Timeout: a.Timeout.Std(), AllowPrivate: a.AllowPrivate, AllowHosts: a.AllowHosts, Transport: env.HTTP,
	})
	return nil
}

// Close ends the connections.
func (a *Application) Close() error { return a.web.Close() }

// Deduplicates says that a second copy gets the same answer.
func (*Application) Deduplicates() bool { return true }

// Receive runs the script over one message.
func (a *Application) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reload()
	return a.handle(ctx, m, false)
}

// EndSession runs the script's onClose(message), if it has one.
func (a *Application) EndSession(ctx context.Context, m *message.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.handle(ctx, m, true)
	return err
}

func (a *Application) handle(ctx context.Context, m *message.Message, closes bool) ([]*message.Message, error) {
	keeper := conversation.Keeper[struct{}]{State: a.state, Remember: a.Remember.Std(), Now: a.now}
	return keeper.Handle(ctx, m, func(*struct{}) ([]conversation.Output, []store.Entry, error) {
		r := &run{app: a, message: m, written: map[string]*string{}, closes: closes}
		return r.do(ctx)
	})
}
