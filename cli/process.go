package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/internal/listen"
	"switchboard/internal/redact"
	"switchboard/operate/processes"
	"switchboard/operate/queues"
	"switchboard/store"
)

// processFlags are the flags of every command that runs workers. Connections
// come from here or the environment, never from a worker's file.
type processFlags struct {
	amqpURL     string
	databaseURL string
	management  string
	httpAddress string
	pprof       bool
	logLevel    string
	paths       []string // the files of the workers, where they can be read again
}

const (
	defaultAMQP     = "amqp://guest:guest@localhost:5672/"
	defaultDatabase = "memory:"
)

func (f *processFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.amqpURL, "amqp-url", env("AMQP_URL", defaultAMQP),
		"the broker: amqp://, amqps:// or memory: (AMQP_URL)")
	flags.StringVar(&f.databaseURL, "database-url", env("DATABASE_URL", defaultDatabase),
		"the database: postgres://, sqlite:PATH or memory: (DATABASE_URL)")
	flags.StringVar(&f.management, "management-url", env("RABBITMQ_MANAGEMENT_URL", ""),
		"RabbitMQ's management, http://host:15672: the audit of persistence workers counts what is in flight (RABBITMQ_MANAGEMENT_URL)")
	flags.StringVar(&f.httpAddress, "http", os.Getenv("SWITCHBOARD_HTTP"),
		"where to serve /metrics, /healthz, /readyz and /status (SWITCHBOARD_HTTP); a free port of localhost from 7780 on when empty")
	flags.BoolVar(&f.pprof, "pprof", false, "serve /debug/pprof/ too")
	flags.StringVar(&f.logLevel, "log-level", env("LOG_LEVEL", "info"), "debug, info, warn or error (LOG_LEVEL)")
	complete(cmd, "log-level", "debug", "info", "warn", "error")
	// Defaults may hold passwords: they are never shown in the help.
	for _, name := range []string{"amqp-url", "database-url", "management-url"} {
		flags.Lookup(name).DefValue = ""
	}
}

// nameOf is an address for people, without its password, and says where nobody
// chose it.
func nameOf(address, variable, otherwise string) string {
	text := redact.Text(address)
	if address == otherwise && os.Getenv(variable) == "" {
		text += " (" + variable + " is not set)"
	}
	return text
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// logger writes text for people at a terminal and JSON for machines. Durations
// are written as 1.5s in both: JSON's own way is a number of nanoseconds.
func (f *processFlags) logger(out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, misused(fmt.Errorf("--log-level is %q; write debug, info, warn or error", f.logLevel))
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if file, ok := out.(*os.File); ok && isTerminal(file) {
		return slog.New(slog.NewTextHandler(out, options)), nil
	}
	return slog.New(slog.NewJSONHandler(out, options)), nil
}

// readable writes durations as people do, and no password.
func readable(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String())
	case slog.KindString:
		a.Value = slog.StringValue(redact.Text(a.Value.String()))
	case slog.KindAny:
		if err, is := a.Value.Any().(error); is {
			a.Value = slog.StringValue(redact.Text(err.Error()))
		}
	}
	return a
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// process is a fleet.Process with what it stands on.
type process struct {
	fleet.Process
	server *http.Server
	close  []func() error
	// address is where /status and its like are served.
	address string
}

// open opens the broker, the state store and the operators' port.
func (f *processFlags) open(ctx context.Context, name, version string, classes fleet.Classes) (*process, error) {
	logger, err := f.logger(os.Stderr)
	if err != nil {
		return nil, err
	}
	limitMemory(logger)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p := &process{Process: fleet.Process{Classes: classes, Logger: logger, Registry: registry, Version: version, Paths: f.paths}}
	steps := []func() error{
		func() error { return p.openBroker(f, name) },
		func() error { return p.openState(ctx, f) },
		func() error { return p.serveHTTP(f) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	stopsItself.Store(true)
	return p, nil
}

func (p *process) openBroker(f *processFlags, name string) (err error) {
	if p.Broker, err = fleet.OpenBroker(f.amqpURL, name, p.Logger, p.Registry); err != nil {
		return misused(err)
	}
	p.BrokerName = nameOf(f.amqpURL, "AMQP_URL", defaultAMQP)
	p.close = append(p.close, func() error { return fleet.CloseBroker(p.Broker) })
	management, err := queues.Management(f.management, f.amqpURL)
	if management != nil {
		p.Depths, p.Lossy = management.Depths, management.Lossy
	}
	return err
}

func (p *process) openState(ctx context.Context, f *processFlags) error {
	state, err := fleet.OpenState(ctx, f.databaseURL, p.Logger)
	if err != nil {
		return misused(err)
	}
	p.State, p.StateName = state, nameOf(f.databaseURL, "DATABASE_URL", defaultDatabase)
	p.Record, _ = state.(store.Database)
	p.close = append(p.close, state.Close)
	return nil
}

func (p *process) serveHTTP(f *processFlags) error {
	listener, err := openPort(f.httpAddress)
	if err != nil {
		return err
	}
	p.address = "http://" + listener.Addr().String()
	p.server = listen.HTTPServer(p.Handler(f.pprof))
	go func() { _ = p.server.Serve(listen.Limited(listener)) }() // ends with ErrServerClosed
	p.close = append(p.close, p.server.Close)
	p.Logger.Info("serving /status, /metrics, /healthz and /readyz", "at", p.address)
	return nil
}

func openPort(address string) (net.Listener, error) {
	if address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("serving http on %s: %w; name another address with --http", address, err)
		}
		return listener, nil
	}
	for port := processes.FirstPort; port <= processes.LastPort; port++ {
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("every port from %d to %d is in use; name an address with --http", processes.FirstPort, processes.LastPort)
}

// Close closes everything in the reverse of the order it was opened in.
func (p *process) Close() error {
	var errs []error
	for _, v := range slices.Backward(p.close) {
		errs = append(errs, v())
	}
	return errors.Join(errs...)
}

// run opens a process, runs the workers until ctx ends, and closes it.
func (f *processFlags) run(ctx context.Context, version string, classes fleet.Classes, defs []*fleet.Definition) error {
	p, err := f.open(ctx, processName(defs), version, classes)
	if err != nil {
		return err
	}
	return errors.Join(p.Run(ctx, defs), p.Close())
}

// processName is what the broker's own tools call the process's connections.
func processName(defs []*fleet.Definition) string {
	names := make([]string, len(defs))
	for i, d := range defs {
		names[i] = d.Name
	}
	return "switchboard " + strings.Join(names, " ")
}
