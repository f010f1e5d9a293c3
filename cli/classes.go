package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"switchboard/fleet"
)

func classesCommand(classes fleet.Classes) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "classes", Short: "List the classes this program knows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(cmd, classes.List())
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "KIND\tCLASS\tWHAT IT DOES\tVUMI'S NAME")
			for _, c := range classes.List() {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Kind, c.Name, c.About, strings.Join(c.Vumi, " "))
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
