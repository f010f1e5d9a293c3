package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/message"
	"switchboard/operate/send"
	"switchboard/store"
)

func broadcastsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "broadcasts",
		Short: "Look after broadcasts: list, show, pause, resume, cancel",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(listBroadcasts(), showBroadcast(),
		turnBroadcast("pause", "Hand over nothing more until `resume`; what transports have is sent", store.Broadcasts.Pause),
		turnBroadcast("resume", "Let a paused broadcast go on", store.Broadcasts.Resume),
		turnBroadcast("cancel", "Withdraw for good what is not handed over yet", store.Broadcasts.Cancel))
	return cmd
}

// defaultBroadcasts is how many are listed where nobody says otherwise.
const defaultBroadcasts = 20

func listBroadcasts() *cobra.Command {
	var flag databaseFlag
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List broadcasts, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return misused(errors.New("--limit must be at least 1"))
			}
			return flag.with(cmd.Context(), func(db store.Database) error {
				list, err := db.List(cmd.Context(), limit)
				if err != nil {
					return err
				}
				if asJSON {
					all := make([]told, len(list))
					for i := range list {
						all[i] = tell(&list[i])
					}
					return printJSON(cmd, all)
				}
				return printBroadcasts(cmd, list)
			})
		},
	}
	flag.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", defaultBroadcasts, "at most so many")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// told is what --json prints of a broadcast.
type told struct {
	*store.BroadcastInfo
	Phase string `json:"phase"`
}

func tell(info *store.BroadcastInfo) told { return told{info, info.Phase(time.Now())} }

func printBroadcasts(cmd *cobra.Command, list []store.BroadcastInfo) error {
	forPeople(cmd)
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tCREATED (UTC)\tSTATE\tTOTAL\tDELIVERED\tSENT\tFAILED\tOPEN\tNAME\tTEXT")
	for _, b := range list {
		_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", b.ID, b.Created.UTC().Format(shownTime),
			b.Phase(time.Now()), b.Total, b.Delivered, b.Sent, b.Error, b.Open, shorten(b.Name), shorten(b.Text))
	}
	return table.Flush()
}

func showBroadcast() *cobra.Command {
	var asJSON bool
	cmd := onBroadcast("show", "Show how far a broadcast is", func(cmd *cobra.Command, db store.Database, id int64) error {
		info, err := db.Broadcast(cmd.Context(), id)
		switch {
		case err != nil:
			return err
		case asJSON:
			return printJSON(cmd, tell(info))
		}
		printBroadcast(cmd, info)
		return nil
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printBroadcast(cmd *cobra.Command, b *store.BroadcastInfo) {
	forPeople(cmd)
	name := ""
	if b.Name != "" {
		name = fmt.Sprintf(" (%s)", shorten(b.Name))
	}
	cmd.Printf("broadcast %d%s, %s\n", b.ID, name, b.Phase(time.Now()))
	cmd.Printf("  text        %s\n", shorten(b.Text))
	cmd.Printf("  message     %s, state %s\n", b.MessageID, b.Message)
	cmd.Printf("  created     %s\n", b.Created.Format(time.RFC3339))
	cmd.Printf("  starts      %s\n", b.Start.Format(time.RFC3339))
	if b.Rate > 0 {
		cmd.Printf("  rate        %g messages a second at most\n", b.Rate)
	}
	cmd.Printf("  list        %s, %s left out, %d opted out\n", plural(int(b.Total), "message"), plural(int(b.Duplicates), "duplicate"), b.OptedOut)
	cmd.Printf("  standing    %s\n", standing(b))
	cmd.Printf("  to do       %s, %d waiting for another try (%d after the first at most)\n", batches(b.Batches), b.Retrying, b.Retries)
}

func turnBroadcast(use, short string, turn func(store.Broadcasts, context.Context, int64) error) *cobra.Command {
	var asJSON bool
	cmd := onBroadcast(use, short, func(cmd *cobra.Command, db store.Database, id int64) error {
		if err := turn(db, cmd.Context(), id); err != nil {
			return err
		}
		info, err := db.Broadcast(cmd.Context(), id)
		switch {
		case err != nil:
			return err
		case asJSON:
			return printJSON(cmd, tell(info))
		}
		cmd.Printf("broadcast %d is %s: %s\n", id, info.Phase(time.Now()), standing(info))
		if info.State == store.BroadcastCancelled || info.State == store.BroadcastPaused {
			printHandedOver(cmd, info)
		}
		return nil
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printHandedOver says what of a held broadcast is still sent.
func printHandedOver(cmd *cobra.Command, info *store.BroadcastInfo) {
	for _, c := range info.HandedOver {
		queue := message.Key(c.Backend, message.Outbound)
		cmd.Printf("%s can still go out: on %s, or in its transport (`switchboard clear %s` deletes what waits there)\n",
			plural(int(c.N), "message"), queue, queue)
	}
}

// onBroadcast is a command about one broadcast.
func onBroadcast(use, short string, do func(cmd *cobra.Command, db store.Database, id int64) error) *cobra.Command {
	var flag databaseFlag
	cmd := &cobra.Command{
		Use: use + " ID", Short: short,
		Args: func(cmd *cobra.Command, args []string) error { return misused(cobra.ExactArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return misused(fmt.Errorf("%q is no broadcast's number; `switchboard broadcasts list` shows them", args[0]))
			}
			return flag.with(cmd.Context(), func(db store.Database) error { return do(cmd, db, id) })
		},
	}
	flag.add(cmd)
	return cmd
}

// with calls do with the database, which is closed afterwards.
func (f *databaseFlag) with(ctx context.Context, do func(store.Database) error) error {
	db, err := f.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// awaitBroadcast waits until a broadcast is done or cancelled. An operator who
// has seen enough ends the waiting, not the broadcast.
func awaitBroadcast(cmd *cobra.Command, db store.Broadcasts, id int64) error {
	bar := newProgress(cmd.ErrOrStderr(), 0)
	err := send.Await(cmd.Context(), db, id, func(info *store.BroadcastInfo) {
		bar.size = info.Total
		closed := info.Total - info.Open
		bar.advance(closed-bar.done, int(closed))
	}, func(info *store.BroadcastInfo, still time.Duration) {
		bar.clear()
		cmd.PrintErrf("nothing has moved for %s (broadcast %d is %s): is a persistence worker running, and the transport?\n",
			still, id, info.Phase(time.Now()))
	})
	bar.end()
	if cmd.Context().Err() != nil {
		return fmt.Errorf("no longer waiting; the broadcast goes on (`switchboard broadcasts show %d`)", id)
	}
	return err
}
