package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"switchboard/operate/scheduler"
	"switchboard/store"
)

func schedulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedules",
		Short: "Look after what schedulers send: list, pause, resume",
		Long: `Look after what workers of class scheduler send at the times their files give. Each
time makes a broadcast, which ` + "`switchboard broadcasts`" + ` shows.`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(listSchedules(),
		turnSchedule("pause", "Let a schedule send nothing until `resume`; its times then are not made up for", scheduler.Book.Pause),
		turnSchedule("resume", "Let a paused schedule go on", scheduler.Book.Resume))
	return cmd
}

func listSchedules() *cobra.Command {
	var flag databaseFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List schedules, and when each is due", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flag.with(cmd.Context(), func(db store.Database) error {
				list, err := scheduler.Book{DB: db}.List(cmd.Context())
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(cmd, append([]scheduler.Entry{}, list...))
				}
				forPeople(cmd)
				table := newTable(cmd.OutOrStdout())
				_, _ = fmt.Fprintln(table, "SCHEDULE\tWHEN\tZONE\tNEXT (UTC)\tLAST (UTC)\tBROADCAST\tTEXT")
				for _, e := range list {
					_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cell(e.ID), cell(e.When), cell(e.Timezone),
						nextOf(e), moment(e.Last), number(e.Broadcast), shorten(e.Text))
				}
				return table.Flush()
			})
		},
	}
	flag.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func nextOf(e scheduler.Entry) string {
	if e.Paused {
		return "paused"
	}
	return moment(e.Next)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(shownTime)
}

func number(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func turnSchedule(use, short string, turn func(scheduler.Book, context.Context, string) error) *cobra.Command {
	var flag databaseFlag
	cmd := &cobra.Command{
		Use: use + " SCHEDULE", Short: short,
		Args: func(cmd *cobra.Command, args []string) error { return misused(cobra.ExactArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return flag.with(cmd.Context(), func(db store.Database) error {
				if err := turn(scheduler.Book{DB: db}, cmd.Context(), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %sd\n", printable(args[0]), use)
				return err
			})
		},
	}
	flag.add(cmd)
	return cmd
}
