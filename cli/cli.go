// Package cli is the program's commands. A main package gives it the classes it
// knows; everything a command does is in the packages below.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/internal/redact"
	"switchboard/operate"
	"switchboard/operate/queues"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // it began and could not go on
	exitMisused = 2 // the command line or a configuration is wrong
	exitStuck   = 3 // audit: nothing is missing, but something does not move
)

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
	root := Root(version, classes)
	root.SetOut(os.Stdout) // cobra's own choice for Printf is stderr
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintln(os.Stderr, "switchboard: "+redact.Text(err.Error()))
	return exitCode(err)
}

func exitCode(err error) int {
	var wrong operate.Misuse
	var chosen coded
	switch {
	case errors.As(err, &wrong):
		return exitMisused
	case errors.As(err, &chosen):
		return chosen.code
	}
	return exitFailed
}

// Root is the command line.
func Root(version string, classes fleet.Classes) *cobra.Command {
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
	root.AddCommand(
		demoCommand(version, classes), runCommand(version, classes), workerCommand(version, classes),
		classesCommand(classes), healthCommand(), versionCommand(version), migrateCommand(), messagesCommand(), traceCommand(), auditCommand(classes, queues.Connect),
		sendCommand(), broadcastsCommand(),
	)
	root.AddCommand(routingCommands(classes)...)
	root.AddCommand(operatorCommands(classes, queues.Connect)...)
	root.AddCommand(simulateCommand())
	explainArguments(root)
	return root
}

func versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { cmd.Println("switchboard " + version) },
	}
}
