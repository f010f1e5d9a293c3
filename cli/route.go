package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate/explain"
	"switchboard/options"
)

// routingCommands are the commands that look at a fleet's files and run nothing.
func routingCommands(classes fleet.Classes) []*cobra.Command {
	return []*cobra.Command{
		checkCommand(classes), routeCommand(classes), testCommand(classes), diffCommand(classes), graphCommand(classes),
	}
}

func routeCommand(classes fleet.Classes) *cobra.Command {
	var q questionFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "route FILE|DIR… --transport NAME --from ADDRESS --to ADDRESS --content TEXT",
		Short: "Say which way a message would go, and why",
		Long: `Say which way a message would go through a fleet, and why: every dispatcher it
passes, the rule and its file and line that decides, what is rewritten, and where
replies and events would go. Nothing is sent and no server is needed.

What routers remember of users (user_grouping) begins empty. The exit code
is 1 when a worker dead-letters the message.`,
		Example: `  switchboard route --transport smpp_za --from +27831234567 --to 12345 --content "JOIN x" configs/production
  switchboard route --application jokes --from 12345 --to +27831234567 configs/production
  switchboard route --flow event --transport smpp_za --application jokes configs/production`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := q.ask(cmd, classes, args)
			if err != nil {
				return misused(err)
			}
			if asJSON {
				err = printJSON(cmd, answer)
			} else {
				cmd.Print(answer.Text())
			}
			return errors.Join(err, answer.Stuck())
		},
	}
	q.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// questionFlags are a question as flags.
type questionFlags struct {
	explain.Question
	flow, session, event string
	down                 []string
	at                   string
}

func (q *questionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&q.flow, "flow", "", "inbound, outbound or event; inbound unless only --application is given")
	flags.StringVar(&q.Transport, "transport", "", "the transport it comes by; of an outbound message its transport_name")
	flags.StringVar(&q.Application, "application", "", "the exposed name it comes from; with --flow event, who sent what the event is about")
	flags.StringVar(&q.From, "from", "", "from_addr")
	flags.StringVar(&q.To, "to", "", "to_addr")
	flags.StringVar(&q.Content, "content", "", "the text")
	flags.StringVar(&q.session, "session", "", "session_event: new, resume or close")
	flags.StringVar(&q.Type, "type", "sms", "transport_type")
	flags.StringVar(&q.Provider, "provider", "", "the network operator")
	flags.StringVar(&q.Group, "group", "", "the group chat")
	flags.StringVar(&q.Endpoint, "endpoint", "", "the endpoint, where it is not the default one")
	flags.StringVar(&q.event, "event", "ack", "what an event says: ack, nack or delivery_report")
	flags.StringVar(&q.at, "at", "", "when, for rules about times: 2026-11-21T22:30:00+02:00; now when empty")
	complete(cmd, "flow", "inbound", "outbound", "event")
	complete(cmd, "session", "new", "resume", "close")
	complete(cmd, "event", "ack", "nack", "delivery_report")
	flags.StringSliceVar(&q.down, "down", nil, "transports to take to be down")
}

func (q *questionFlags) ask(cmd *cobra.Command, classes fleet.Classes, paths []string) (explain.Answer, error) {
	q.Flow, q.Session, q.Event = message.Flow(q.flow), message.SessionEvent(q.session), message.EventType(q.event)
	var at time.Time
	if q.at != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, q.at); err != nil {
			return explain.Answer{}, fmt.Errorf("--at is %q; write a time with its zone: 2026-11-21T22:30:00+02:00", q.at)
		}
	}
	classes.WithoutSecrets = true
	defs, err := classes.Load(paths...)
	if err != nil {
		return explain.Answer{}, err
	}
	f, err := explain.New(cmd.Context(), classes, defs)
	if err != nil {
		return explain.Answer{}, err
	}
	defer func() { _ = f.Close() }()
	f.At(at)
	err = f.Down(q.down...)
	var answer explain.Answer
	if err == nil {
		answer, err = f.Ask(cmd.Context(), q.Question)
	}
	if _, ok := errors.AsType[*options.FieldError](err); ok {
		err = errors.New("--" + err.Error())
	}
	return answer, err
}
