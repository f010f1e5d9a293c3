package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/operate/explain"
)

func testCommand(classes fleet.Classes) *cobra.Command {
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "test FILE|DIR…",
		Short: "Run the routing tests and conversations kept beside a configuration",
		Long: `Run the routing tests, and the conversations with applications, in files ending
in ` + fleet.TestSuffix + `, kept beside the configuration they test. No server is needed.

The exit code is 0 when all pass, 1 when one fails, 2 when they cannot be run.
docs/routing-tests.md describes the files, docs/applications.md those with
conversations. A small one:

  tests:
    - name: JOIN goes to the joiner
      message: {transport: smpp_za, from: "+27831234567", to: "12345", content: JOIN x}
      expect: {to: joiner, replies_to: smpp_za}
  conversations:
    - name: the joiner asks for a name
      application: joiner
      talk:
        - {says: JOIN x, expects: What is your name?}`,
		Example: "  switchboard test configs/production\n  switchboard test -v configs/use-cases/*",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reports, err := runTests(cmd, classes, args)
			if err != nil {
				return misused(err)
			}
			if asJSON {
				if err := printJSON(cmd, reports); err != nil {
					return err
				}
			} else {
				printReports(cmd.OutOrStdout(), reports, verbose)
			}
			return failedTests(reports)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "name the tests that pass, too")
	return cmd
}

// testReport is how the tests of a file went.
type testReport struct {
	File    string           `json:"file"`
	Seconds float64          `json:"seconds"`
	Tests   []explain.Result `json:"tests"`
}

func runTests(cmd *cobra.Command, classes fleet.Classes, paths []string) ([]testReport, error) {
	classes.WithoutSecrets = true
	files, err := explain.SpecFiles(paths...)
	if err != nil {
		return nil, err
	}
	var reports []testReport
	var errs []error
	for _, file := range files {
		began := time.Now()
		spec, err := explain.ReadSpec(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results, err := spec.Run(cmd.Context(), classes)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		reports = append(reports, testReport{file, time.Since(began).Seconds(), results})
	}
	return reports, errors.Join(errs...)
}

func printReports(w io.Writer, reports []testReport, verbose bool) {
	for _, r := range reports {
		failed := 0
		for _, t := range r.Tests {
			if !t.Passed {
				failed++
				printFailure(w, t)
			} else if verbose {
				_, _ = fmt.Fprintf(w, "--- PASS: %s (%s)\n", t.Name, t.At)
			}
		}
		if failed > 0 {
			_, _ = fmt.Fprintf(w, paint(w, red, "FAIL")+"\t%s\t%d of %s failed\n", r.File, failed, plural(len(r.Tests), "test"))
			continue
		}
		_, _ = fmt.Fprintf(w, paint(w, green, "ok")+"\t%s\t%s\t%.3fs\n", r.File, plural(len(r.Tests), "test"), r.Seconds)
	}
}

func printFailure(w io.Writer, t explain.Result) {
	_, _ = fmt.Fprintf(w, paint(w, red, "--- FAIL:")+" %s (%s)\n", t.Name, t.At)
	for _, p := range t.Problems {
		_, _ = fmt.Fprintf(w, "    %s\n      - want %s\n      + got  %s\n", p.What, hanging(p.Want), hanging(p.Got))
	}
	if t.Answer == nil {
		_, _ = fmt.Fprintf(w, "    what was said:\n      %s\n", strings.ReplaceAll(strings.Join(t.Talk, "\n"), "\n", "\n      "))
		return
	}
	_, _ = fmt.Fprintf(w, "    how it went:\n      %s\n", strings.ReplaceAll(strings.TrimSpace(t.Answer.Text()), "\n", "\n      "))
}

// hanging is a text whose lines stand below each other.
func hanging(text string) string { return strings.ReplaceAll(text, "\n", "\n             ") }

func failedTests(reports []testReport) error {
	failed := 0
	for _, r := range reports {
		for _, t := range r.Tests {
			if !t.Passed {
				failed++
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s failed", plural(failed, "test"))
	}
	return nil
}
