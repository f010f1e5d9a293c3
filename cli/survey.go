package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	surveys "switchboard/applications/survey"
	"switchboard/store"
	"switchboard/worker"
)

func surveyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "survey", Short: "Export the answers of surveys",
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(exportSurvey())
	return cmd
}

func exportSurvey() *cobra.Command {
	var flag databaseFlag
	var done bool
	var output string
	cmd := &cobra.Command{
		Use:   "export RESULTS",
		Short: "Write the answers of a survey as CSV, a line for each person",
		Long: `Write the answers of a survey as CSV, a line for each person in the order in which
they began. RESULTS is what the survey's file has under results.

Answers that a spreadsheet would take for a formula begin with an apostrophe.`,
		Example: "  switchboard survey export health -o health.csv",
		Args:    func(cmd *cobra.Command, args []string) error { return misused(cobra.ExactArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return flag.with(cmd.Context(), func(db store.Database) (err error) {
				out := forTerminal(cmd.OutOrStdout())
				if output != "" {
					file, err := os.OpenFile(output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
					if err != nil {
						return fmt.Errorf("writing the answers: %w", err)
					}
					defer func() { err = errors.Join(err, file.Close()) }()
					out = file
				}
				n, err := surveys.Export(cmd.Context(), worker.SharedState(db, surveys.Scope(args[0])), out, done)
				if err == nil && n == 0 {
					return misused(fmt.Errorf("nobody has answered %s; is that what its file has under results?", args[0]))
				}
				return err
			})
		},
	}
	flag.add(cmd)
	cmd.Flags().BoolVar(&done, "done", false, "only those who answered all")
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write to")
	return cmd
}
