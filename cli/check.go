package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/operate"
	"switchboard/operate/queues"
)

func checkCommand(classes fleet.Classes) *cobra.Command {
	var strict, asJSON bool
	var class, management, amqpURL string
	cmd := &cobra.Command{
		Use:   "check FILE|DIR…",
		Short: "Check the files of a fleet, alone and against each other",
		Long: `Check the files of a fleet, alone and against each other.

Errors are what cannot run: unknown keys and classes, routes to names that are
not there, expressions that do not compile, rules that can never match, circles,
two dispatchers on one queue, files of two directories on one connector.
Warnings are what may be meant: names that nobody here serves (other programs or
machines may), transports without a route, ports used twice, secrets in clear.

Where RabbitMQ's management is known (--management-url), the fleet's queues that
would be quicker as version 2 are named.

The exit code is 2 when there are errors, with --strict also when there are
warnings, and 0 otherwise.`,
		Example: "  switchboard check configs/production\n  switchboard check --strict --json configs/production",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if class != "" {
				if err := classes.CheckClass(class); err != nil {
					return misused(fmt.Errorf("--worker-class: %w", err))
				}
			}
			classes.Default = class
			defs, findings, err := classes.Examine(args...)
			if err != nil {
				return misused(err)
			}
			if err := showFindings(cmd, findings, asJSON); err != nil {
				return err
			}
			err = adviseVersion(cmd, management, amqpURL, queues.Target{Workers: defs})
			if away := (operate.Unreachable{}); errors.As(err, &away) { // the files are right or wrong all the same
				cmd.PrintErrln("the version of the queues is not known:", printableLines(err.Error()))
			} else if err != nil {
				return err
			}
			return verdict(cmd, len(defs), findings, strict, asJSON)
		},
	}
	cmd.Flags().StringVar(&class, "worker-class", "", "class of the files that name none, by its short name or Vumi's")
	addManagement(cmd, &management, "it knows the version of queues")
	addAMQP(cmd.Flags(), &amqpURL)
	cmd.Flags().BoolVar(&strict, "strict", false, "let warnings be errors")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return cmd
}

func showFindings(cmd *cobra.Command, findings []fleet.Finding, asJSON bool) error {
	if asJSON {
		if findings == nil {
			findings = []fleet.Finding{}
		}
		return printJSON(cmd, findings)
	}
	for _, f := range findings {
		colour := yellow
		if f.Severity == fleet.Error {
			colour = red
		}
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), paint(cmd.OutOrStdout(), colour, f.String()))
	}
	return nil
}

func verdict(cmd *cobra.Command, workers int, findings []fleet.Finding, strict, asJSON bool) error {
	errs := 0
	for _, f := range findings {
		if f.Severity == fleet.Error {
			errs++
		}
	}
	warnings := len(findings) - errs
	if errs > 0 || strict && warnings > 0 {
		return misused(fmt.Errorf("%s, %s", plural(errs, "error"), plural(warnings, "warning")))
	}
	if !asJSON {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s, %s, nothing wrong\n", plural(workers, "worker"), plural(warnings, "warning"))
	}
	return nil
}
