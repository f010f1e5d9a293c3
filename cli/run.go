package cli

import (
	"github.com/spf13/cobra"

	"switchboard/fleet"
)

func runCommand(version string, classes fleet.Classes) *cobra.Command {
	var flags processFlags
	var watch bool
	cmd := &cobra.Command{
		Use:   "run FILE|DIR…",
		Short: "Run workers: every YAML file named, and all in the directories named",
		Long: `Run workers: every YAML file named, and all in the directories named.

Edited files are taken into use while the workers run: dispatchers go over to
their new routes with no message lost, other workers whose files changed start
again. A file with an error changes nothing and is reported. SIGHUP and
POST /-/reload do the same at once.`,
		Example: "  switchboard run configs/production\n  switchboard run dispatcher.yaml --amqp-url amqp://rabbit.example.org/",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			defs, err := classes.Load(args...)
			if err != nil {
				return misused(err)
			}
			return flags.runFiles(cmd.Context(), version, classes, defs, args, watch)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&watch, "watch", true, "take edited files into use; without it only SIGHUP and POST /-/reload do")
	return cmd
}
