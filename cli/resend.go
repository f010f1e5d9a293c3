package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/persistence"
	"switchboard/store"
)

func resendCommand(dial dialer) *cobra.Command {
	o := &operator{dial: dial}
	var database databaseFlag
	cmd := &cobra.Command{
		Use:   "resend ID…",
		Short: "Send failed messages again",
		Long: `Hand outbound messages in state E over to their transports again, each as its next
attempt: ` + "`switchboard trace ID`" + ` shows them all. A broadcast's messages are tried again
by the broadcast, ten attempts are the most, and what no dispatcher handed over is retried
from the dead letters (` + "`switchboard failures retry`" + `).`,
		Example: "  switchboard messages --state E --transport smpp_za\n  switchboard resend e6dc9f8942ba7946a9b57f4cce57d26e",
		Args:    func(cmd *cobra.Command, args []string) error { return misused(cobra.MinimumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, ids []string) error {
			return database.with(cmd.Context(), func(db store.Database) error {
				return o.with(cmd.Context(), func(b broker.Broker) error {
					var errs []error
					for _, id := range ids {
						errs = append(errs, persistence.Resend(cmd.Context(), db, b, id))
					}
					err := errors.Join(errs...)
					if err == nil {
						cmd.Println(plural(len(ids), "message") + " sent again")
					} else {
						err = fmt.Errorf("sending again: %w", err)
					}
					return err
				})
			})
		},
	}
	o.add(cmd)
	database.add(cmd)
	return cmd
}
