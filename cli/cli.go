// Package cli is the program's commands. A main package gives it the classes it
// knows; everything a command does is in the packages below.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/internal/redact"
	"switchboard/operate"
	"switchboard/operate/queues"
)

// The exit codes of all commands; exitCodes says them to people.
const (
	exitOK          = 0
	exitFailed      = 1
	exitMisused     = 2
	exitStuck       = 3
	exitUnreachable = 4
	exitInterrupted = 130
)

const exitCodes = `  0    done, and nothing is wrong
  1    done, and something is wrong: a queue or link that hurts, queues that do not
       get empty, messages that are missing or failed, tests that fail, ways that
       change, dead letters that were not all seen; or a worker that cannot go on
  2    the command line, a file, or a name in them is wrong; nothing was done
  3    audit: nothing is missing, but something is stuck
  4    the answer is not known: the broker, the database, RabbitMQ's management or a
       process did not answer
  130  a signal ended the command before it was done`

// coded is an error that chooses its exit code.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

func misused(err error) error { return operate.Misused(err) }

// Main runs the command line and returns the exit code.
func Main(version string, classes fleet.Classes) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { endAfterSignal(stop) })
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	err := readFileVariables()
	if err == nil {
		root := named(name, Root(version, classes))
		root.SetOut(os.Stdout) // cobra's own choice for Printf is stderr
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return exitOK
	}
	text := strings.ReplaceAll(redact.Text(err.Error()), "`switchboard ", "`"+name+" ")
	_, _ = fmt.Fprintln(os.Stderr, paint(os.Stderr, red, name+":"), printableLines(text))
	return exitCode(err)
}

// stopsItself is true while workers run: a signal then begins a clean stop, which has
// its own time limit.
var stopsItself atomic.Bool

// signalPatience is how long a command may take to end after a signal.
const signalPatience = 2 * time.Second

// endAfterSignal lets a second signal end the process at once, and ends a command that
// does not end by itself.
func endAfterSignal(restore func()) {
	restore()
	if stopsItself.Load() {
		return
	}
	time.Sleep(signalPatience)
	if !stopsItself.Load() {
		os.Exit(exitInterrupted)
	}
}

func exitCode(err error) int {
	var wrong operate.Misuse
	var unknown operate.Unreachable
	var chosen coded
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &chosen):
		return chosen.code
	case errors.As(err, &wrong):
		return exitMisused
	case errors.As(err, &unknown):
		return exitUnreachable
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// The groups of commands in the help.
const (
	groupRun    = "run"
	groupFiles  = "files"
	groupQueues = "queues"
	groupRecord = "record"
)

// Root is the command line.
func Root(version string, classes fleet.Classes) *cobra.Command {
	return rootOn(version, classes, queues.Connect)
}

func rootOn(version string, classes fleet.Classes, dial dialer) *cobra.Command {
	root := &cobra.Command{
		Use:           "switchboard",
		Short:         "An open messaging switch: people's channels on one side, applications on the other",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("switchboard {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused(err) })
	addGroup(root, groupRun, "Run a fleet", demoCommand(version, classes), runCommand(version, classes),
		workerCommand(version, classes), migrateCommand(), healthCommand(), httpCommand(classes), importCommand())
	addGroup(root, groupFiles, "Look at a fleet's files; nothing runs and nothing is sent", routingCommands(classes)...)
	addGroup(root, groupQueues, "Look after a fleet's queues", operatorCommands(classes, dial)...)
	addGroup(root, groupRecord, "Ask the record, and send to many", messagesCommand(), traceCommand(),
		auditCommand(classes, dial), sendCommand(), resendCommand(dial), broadcastsCommand(), surveyCommand(),
		optOutsCommand(), schedulesCommand())
	root.AddCommand(classesCommand(classes), versionCommand(version), simulateCommand(), chaosCommand(classes), exitCodesTopic())
	explainArguments(root)
	refuseUnknownTopics(root)
	return root
}

// refuseUnknownTopics lets `help` of what is no command be an error.
func refuseUnknownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		panic(err) // there is always one
	}
	help.Args = func(_ *cobra.Command, topic []string) error {
		found, rest, err := root.Find(topic)
		if err == nil && (found != root || len(topic) == 0) {
			return noSuchCommand(found, rest)
		}
		return noSuchCommand(root, topic)
	}
}

func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title + ":"})
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	root.AddCommand(commands...)
}

// named lets a program of another name, built from the same commands, call itself by
// that name.
func named(name string, cmd *cobra.Command) *cobra.Command {
	if cmd.Use == "switchboard" {
		cmd.Use = name
		cmd.SetVersionTemplate(name + " {{.Version}}\n")
	}
	for _, text := range []*string{&cmd.Long, &cmd.Example} {
		*text = strings.ReplaceAll(*text, "switchboard ", name+" ")
	}
	for _, child := range cmd.Commands() {
		named(name, child)
	}
	return cmd
}

func versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { cmd.Println(cmd.Root().Name() + " " + version) },
	}
}

// exitCodesTopic is shown by `help exit-codes`.
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "The exit codes of all commands", Long: "The exit codes of all commands:\n\n" + exitCodes}
}

// complete offers the values of a flag to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag's name is wrong
	}
}
