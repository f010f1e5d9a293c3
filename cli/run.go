package cli

import (
	"github.com/spf13/cobra"

	"switchboard/fleet"
)

func runCommand(version string, classes fleet.Classes) *cobra.Command {
	var flags processFlags
	cmd := &cobra.Command{
		Use:   "run FILE|DIR…",
		Short: "Run workers: every YAML file named, and all in the directories named",
		Args:  atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			defs, err := classes.Load(args...)
			if err != nil {
				return misused(err)
			}
			return flags.run(cmd.Context(), version, classes, defs)
		},
	}
	flags.add(cmd)
	return cmd
}

func atLeastOneFile(cmd *cobra.Command, args []string) error {
	return misused(cobra.MinimumNArgs(1)(cmd, args))
}

func checkCommand(classes fleet.Classes) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE|DIR…",
		Short: "Check the files of a fleet, alone and against each other",
		Args:  atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			defs, err := classes.Load(args...)
			for _, d := range defs {
				for _, warning := range d.Warnings {
					cmd.PrintErrln("warning: " + warning)
				}
			}
			if err != nil {
				return misused(err)
			}
			cmd.Printf("%d workers, nothing wrong\n", len(defs))
			return nil
		},
	}
}
