package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"switchboard/smpp/simulator"
)

const (
	simulatorListen = "127.0.0.1:2775" // SMPP's registered port
	simulatorHTTP   = "127.0.0.1:2780"
	// showEvery is how often counters are shown.
	showEvery = time.Second
	// showMost is how many messages are shown of those that came in between.
	showMost = 5
	// simulatorEnd is how long peers have to agree to unbind at the end.
	simulatorEnd = 3 * time.Second
)

func simulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "simulate", Short: "Simulate what a fleet talks to, for development and tests",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(simulateSMSCCommand())
	return cmd
}

func simulateSMSCCommand() *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:   "smsc [FILE.yaml]",
		Short: "Simulate an SMSC to bind to, that behaves or misbehaves as a file says",
		Long: `Simulate an SMSC. Without a file everybody may bind, and every message is
accepted and reported delivered at once. A file says who may bind and what goes
wrong; see docs/simulator.md and configs/simulators.

What is typed in is a message from a phone:

  31612345678 1234 hello      from 31612345678 to 1234
  hello                       from and to the same, or as an answer to what came last
  /drop                       reset every connection
  /counters                   all counters, JSON`,
		Example: "  switchboard simulate smsc\n  switchboard simulate smsc configs/simulators/awkward.yaml --listen :2776 --json",
		Args:    func(cmd *cobra.Command, args []string) error { return misused(cobra.MaximumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := s.settings(cmd, args)
			if err != nil {
				return misused(err)
			}
			return s.run(cmd.Context(), settings, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.listen, "listen", simulatorListen, "where to be bound to, host:port")
	flags.StringVar(&s.http, "http", simulatorHTTP, `where to serve /counters, /metrics, /received and /deliver, host:port; "" for nowhere`)
	flags.StringVar(&s.record, "record", "", "file that gets all that comes, a JSON object a line")
	flags.Uint64Var(&s.seed, "seed", 0, "the same seed and traffic: the same behaviour")
	flags.BoolVar(&s.json, "json", false, "write counters as JSON, a line a second while they change, and at the end")
	flags.BoolVar(&s.verbose, "verbose", false, "log each session's beginning and end to stderr")
	return cmd
}

// simulation is one run of the command.
type simulation struct {
	listen, http, record string
	seed                 uint64
	json, verbose        bool

	smsc *simulator.SMSC
	out  io.Writer
	live bool // the counters are one line that is written over
	last string
	seen uint64 // of what came, how much was shown
	talk conversation

	notices chan string // of what became of typed messages
}

// settings are the file's, with the flags over them.
func (s *simulation) settings(cmd *cobra.Command, args []string) (settings simulator.Settings, err error) {
	if len(args) == 1 {
		if settings, err = simulator.Read(args[0]); err != nil {
			return settings, err
		}
	}
	over := func(flag string, value *string, given string) {
		if *value == "" || cmd.Flags().Changed(flag) {
			*value = given
		}
	}
	over("listen", &settings.Listen, s.listen)
	over("http", &settings.HTTP, s.http)
	over("record", &settings.Record, s.record)
	if cmd.Flags().Changed("seed") {
		settings.Seed = s.seed
	}
	if s.verbose {
		settings.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	}
	return settings, nil
}

func (s *simulation) run(ctx context.Context, settings simulator.Settings, in io.Reader, out io.Writer) (err error) {
	if s.smsc, err = simulator.Start(settings); err != nil {
		return err
	}
	s.out, s.notices = out, make(chan string)
	stopsItself.Store(true)
	file, isFile := out.(*os.File)
	s.live = !s.json && isFile && isTerminal(file)
	s.greet(settings)
	lines := make(chan string)
	go readLines(ctx, in, lines)
	ticker := time.NewTicker(showEvery)
	defer ticker.Stop()
	for {
		select {
		case line := <-lines:
			s.typed(ctx, line)
		case notice := <-s.notices:
			s.above(notice)
		case <-ticker.C:
			s.show()
		case <-ctx.Done():
			return s.end()
		}
	}
}

func (s *simulation) end() error {
	s.showMessages()
	ctx, cancel := context.WithTimeout(context.Background(), simulatorEnd)
	defer cancel()
	err := s.smsc.Shutdown(ctx)
	if s.json {
		s.printJSON(s.smsc.Counters())
		return err
	}
	s.print(summary(s.smsc.Counters()))
	if s.live {
		_, _ = fmt.Fprintln(s.out)
	}
	return err
}

// readLines gives up when ctx ends; a read of a terminal that is under way then
// ends with the process.
func readLines(ctx context.Context, in io.Reader, lines chan<- string) {
	for scanner := bufio.NewScanner(in); scanner.Scan(); {
		select {
		case lines <- scanner.Text():
		case <-ctx.Done():
			return
		}
	}
}

func (s *simulation) greet(settings simulator.Settings) {
	if s.json {
		s.printJSON(map[string]any{"listening": s.smsc.Addr(), "http": s.smsc.HTTPAddr()})
		return
	}
	who := "any system_id and password"
	if len(settings.Accounts) > 0 {
		who = "system_id"
		for _, a := range settings.Accounts {
			who += " " + a.SystemID
		}
	}
	_, _ = fmt.Fprintf(s.out, "An SMSC is simulated.\n\n  Bind to     %s   with %s\n", s.smsc.Addr(), who)
	if at := s.smsc.HTTPAddr(); at != "" {
		_, _ = fmt.Fprintf(s.out, "  Counters    http://%[1]s/counters\n  Send        curl -d from=31612345678 -d to=1234 -d text=hello http://%[1]s/deliver\n", at)
	}
	_, _ = fmt.Fprint(s.out, "  Or type     31612345678 1234 hello\n\nCtrl-C ends it.\n\n")
}

func (s *simulation) printJSON(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		_, _ = fmt.Fprintf(s.out, "%s\n", b)
	}
}
