package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/operate/queues"
)

func moveCommand(dial dialer) *cobra.Command {
	o := &operator{dial: dial}
	var m queues.Move
	var note noted
	cmd := &cobra.Command{
		Use:   "move FROM TO",
		Short: "Take what waits to go out by one transport to another",
		Long: `Take what waits to go out by the transport FROM to the transport TO, in its order: all of it, or what the
flags choose. Events return to the applications as ever, and the record says of each that it was moved.

Nobody may consume the queue meanwhile: pause it first. Ended in the middle, it loses
none; run it again for the rest.

  switchboard pause sms_a.outbound
  switchboard move sms_a sms_b
  switchboard resume sms_a.outbound`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if m.From, m.To = args[0], args[1]; m.Limit < 0 {
				return misused(errors.New("--limit must not be negative; 0 is all"))
			}
			return o.with(cmd.Context(), func(b broker.Broker) error {
				moved, left, err := m.Run(cmd.Context(), b)
				if moved+left > 0 || err == nil {
					done := "moved"
					if m.DryRun {
						done = "would be moved"
					}
					_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s %s to %s; %d left\n", plural(moved, "message"), done, m.To, left)
				}
				if m.DryRun || moved == 0 {
					return err
				}
				return errors.Join(err, note.note(cmd, []queues.Count{{Queue: message.Key(m.From, message.Outbound), Messages: moved}}))
			})
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&m.Application, "application", "", "only messages from the application with this exposed name")
	flags.StringVar(&m.Address, "to-addr", "", "only messages to addresses that begin so: +2783")
	flags.StringVar(&m.Text, "text", "", "only messages with this in their text")
	flags.IntVar(&m.Limit, "limit", 0, "no more than this many, the first in the queue; 0 is all")
	flags.BoolVar(&m.DryRun, "dry-run", false, "do nothing, and count what would go")
	note.add(cmd)
	return cmd
}
