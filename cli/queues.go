package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/operate/processes"
	"switchboard/operate/queues"
)

// dialer opens the broker a URL names and waits until it is there.
type dialer func(ctx context.Context, url string) (broker.Broker, error)

// operatorCommands are the commands that look after queues.
func operatorCommands(classes fleet.Classes, dial dialer) []*cobra.Command {
	return []*cobra.Command{
		statusCommand(classes, dial), clearCommand(classes, dial), waitCommand(classes, dial), pauseCommand(classes, dial), resumeCommand(classes, dial), moveCommand(dial),
		failuresCommand(classes, dial), tailCommand(classes, dial), injectCommand(dial),
	}
}

// operator is what the commands that look after queues have in common.
type operator struct {
	classes fleet.Classes
	dial    dialer
	amqpURL string
	asJSON  bool
}

func (o *operator) add(cmd *cobra.Command) {
	addAMQP(cmd.PersistentFlags(), &o.amqpURL)
}

func addAMQP(flags *pflag.FlagSet, url *string) {
	flags.StringVar(url, "amqp-url", env("AMQP_URL", defaultAMQP), "the broker: amqp:// or amqps:// (AMQP_URL)")
	flags.Lookup("amqp-url").DefValue = "" // it may hold a password
}

func (o *operator) addJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
}

// with calls do with a broker that is closed afterwards.
func (o *operator) with(ctx context.Context, do func(broker.Broker) error) error {
	b, err := o.dial(ctx, o.amqpURL)
	if err != nil {
		return err
	}
	return errors.Join(do(b), fleet.CloseBroker(b))
}

// someTarget is for commands that need to know which queues are meant.
func someTarget(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return misused(fmt.Errorf("name a fleet's files or directories, or queues: %s configs/production", cmd.CommandPath()))
}

// asking is whom `status` and `wait` ask for what workers hold, which AMQP does not say.
type asking struct {
	processes  []string
	management string
}

func (a *asking) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&a.processes, "process", strings.Fields(os.Getenv("SWITCHBOARD_PROCESSES")),
		"where a process serves /status, http://host:port; may be repeated (SWITCHBOARD_PROCESSES, separated by spaces); those on this machine when empty")
	addManagement(cmd, &a.management, "it counts what is in flight")
}

// addManagement adds the flag that says where RabbitMQ's management is, and what it is for.
func addManagement(cmd *cobra.Command, url *string, purpose string) {
	cmd.Flags().StringVar(url, "management-url", env("RABBITMQ_MANAGEMENT_URL", ""),
		"RabbitMQ's management, http://host:15672: "+purpose+" (RABBITMQ_MANAGEMENT_URL)")
	cmd.Flags().Lookup("management-url").DefValue = "" // it may hold a password
}

// check says whether it is wrong whom to ask.
func (a *asking) check(amqpURL string) error {
	if _, err := queues.Management(a.management, amqpURL); err != nil {
		return err
	}
	return processes.Check(a.processes...)
}

// sources asks the processes; what was wrong with some of them is said and no error.
func (a *asking) sources(cmd *cobra.Command, amqpURL string) (from queues.Sources, silent bool, err error) {
	management, err := queues.Management(a.management, amqpURL)
	if err != nil {
		return from, false, err
	}
	if management != nil {
		from.Management = management.InFlight
	}
	answers, err := processes.Ask(cmd.Context(), a.processes...)
	if wrong := (operate.Misuse{}); errors.As(err, &wrong) {
		return from, false, err
	}
	if err != nil {
		cmd.PrintErrln(printableLines(err.Error()))
	}
	from.Processes = answers
	return from, err != nil, nil
}

// adviseVersion says which of the queues would be quicker as version 2. Only the management
// knows.
func adviseVersion(cmd *cobra.Command, url, amqpURL string, target queues.Target) error {
	management, err := queues.Management(url, amqpURL)
	if management == nil || err != nil {
		return err
	}
	first, err := management.FirstVersion(cmd.Context())
	if err != nil {
		return operate.Unreachable{Err: err}
	}
	ours := target.Queues()
	first = slices.DeleteFunc(first, func(name string) bool { return !slices.Contains(ours, name) })
	if len(first) > 0 {
		cmd.PrintErrf("RabbitMQ keeps %d of these queues as version 1 (%s, …); version 2 is quicker:\n"+
			"  rabbitmqctl set_policy switchboard '.*' '{\"queue-version\":2}' --apply-to queues\n"+
			"  (one policy applies to a queue: where it has another, add the key there)\n", len(first), first[0])
	}
	return nil
}

func statusCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var ask asking
	var strict, head bool
	cmd := &cobra.Command{
		Use:   "status FILE|DIR|QUEUE…",
		Short: "Show what waits in a fleet's queues, who takes it, the dead letters, and whether links are up",
		Long: `Show what waits in a fleet's queues and what is in flight, what waits for its next try
(RETRYING: how many, within what time), who takes it, the dead letters, and whether
the workers have what they depend on: LINK.

The broker says neither what is in flight nor how links are. The processes are
asked (--process; those on this machine when none is named), or RabbitMQ's
management (--management-url). What nobody could say is shown as "?".

How old the oldest is the workers say, of what they hold. --age looks at the head of a
queue that nobody reads: that marks it as redelivered, and raises its delivery count on
a quorum queue.

The exit code is 1 for what hurts: messages wait and no worker consumes them
(stuck), or what their worker needs is down (held up), or a worker is down. With
--strict it is 1 also for a link that is down while nothing waits.`,
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onTarget(cmd.Context(), args, func(b broker.Broker, target queues.Target) error {
				from, silent, err := ask.sources(cmd, o.amqpURL)
				if err != nil {
					return err
				}
				from.Head = head
				all, unplaced, err := target.Look(cmd.Context(), b, from)
				if err != nil {
					return err
				}
				if err := o.printStatus(cmd, all); err != nil {
					return err
				}
				o.explainWaiting(cmd, all, time.Now())
				explainPaused(cmd, all)
				explainUnknown(cmd, all, unplaced)
				if err := adviseVersion(cmd, ask.management, o.amqpURL, target); err != nil {
					return err
				}
				return statusVerdict(all, queues.Troubles(from.Processes), strict, silent)
			})
		},
	}
	o.add(cmd)
	o.addJSON(cmd)
	ask.add(cmd)
	cmd.Flags().BoolVar(&head, "age", false, "look at the head of a queue that nobody reads, for its age; marks it as redelivered")
	cmd.Flags().BoolVar(&strict, "strict", false, "let a link that is down be an error where nothing waits, too")
	return cmd
}

// onTarget finds what the arguments name before it connects.
func (o *operator) onTarget(ctx context.Context, args []string, do func(b broker.Broker, target queues.Target) error) error {
	target, err := queues.Find(o.classes, args)
	if err != nil {
		return err
	}
	return o.with(ctx, func(b broker.Broker) error {
		if err := target.CheckQueues(ctx, b); err != nil {
			return err
		}
		return do(b, target)
	})
}

// onQueues is onTarget for those who want the queues' names alone.
func (o *operator) onQueues(ctx context.Context, args []string, do func(b broker.Broker, names []string) error) error {
	return o.onTarget(ctx, args, func(b broker.Broker, target queues.Target) error { return do(b, target.Queues()) })
}

func (o *operator) printStatus(cmd *cobra.Command, all []queues.Status) error {
	if o.asJSON {
		return printJSON(cmd, all)
	}
	out := cmd.OutOrStdout()
	table := newTable(out)
	_, _ = fmt.Fprintln(table, "QUEUE\tMESSAGES\tIN FLIGHT\tRETRYING\tCONSUMERS\tDEAD\tSTATE\tLINK")
	for _, s := range all {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%d\t%d\t%s\t%s\n", s.Queue, s.Messages, inFlight(s.InFlight), retrying(s.Retrying), s.Consumers, s.Dead, s.State, linkCell(out, &s))
	}
	return table.Flush()
}

// retrying says how many messages wait for their next try, and within what time.
func retrying(all []queues.Retrying) string {
	parts := make([]string, len(all))
	for i, r := range all {
		parts[i] = fmt.Sprintf("%d in %s", r.Messages, r.Within)
	}
	return cmp.Or(strings.Join(parts, ", "), "0")
}

// quiteOld is from what age on a message in flight is worth a line.
const quiteOld = 10 * time.Second

// explainWaiting says of each queue in which messages wait, or are in flight for long, how
// old the oldest is that was seen, and what keeps them.
func (o *operator) explainWaiting(cmd *cobra.Command, all []queues.Status, now time.Time) {
	for _, s := range all {
		if o.asJSON || s.Messages == 0 && (s.Oldest == nil || now.Sub(*s.Oldest) < quiteOld) {
			continue
		}
		oldest := "the oldest is of unknown age"
		switch {
		case s.Oldest != nil && s.Consumers > 0:
			oldest = "the oldest in flight is " + age(*s.Oldest, now) + " old"
		case s.Oldest != nil:
			oldest = "the oldest is " + age(*s.Oldest, now) + " old"
		case s.Consumers == 0:
			oldest += " (--age looks)"
		}
		line := s.Queue + ": " + oldest
		if s.LimitedBy != "" {
			line += "; limited by " + s.LimitedBy
		}
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), printable(line))
	}
}

// explainPaused says who paused a queue, and why.
func explainPaused(cmd *cobra.Command, all []queues.Status) {
	for _, s := range all {
		if s.Paused != nil {
			cmd.PrintErrln(printable(s.Queue + " " + fleet.DescribePause(*s.Paused) + "; to end it: switchboard resume " + s.Queue))
		}
	}
}

// explainUnknown says why there is a "?", and what to do.
func explainUnknown(cmd *cobra.Command, all []queues.Status, unplaced []queues.Retrying) {
	if len(unplaced) > 0 {
		cmd.PrintErrf("more messages wait for a retry (%s), of which queues is not known: the first %d of each delay are looked at\n",
			retrying(unplaced), broker.MaxDelayedLook)
	}
	unknown := 0
	for _, s := range all {
		if s.InFlight == nil {
			unknown++
		}
	}
	if unknown > 0 {
		cmd.PrintErrf("what is in flight, and how links are, is not known of %s: not all of the processes that read them were found; "+
			"name them with --process URL (SWITCHBOARD_PROCESSES), or RabbitMQ's management with --management-url\n", plural(unknown, "queue"))
	}
}

func inFlight(n *int64) string {
	if n == nil {
		return "?"
	}
	return strconv.FormatInt(*n, 10)
}

// linkCell says how the links are of those who read a queue; "?" where none of them was
// asked.
func linkCell(out io.Writer, s *queues.Status) string {
	for _, health := range [...]struct {
		is     message.Health
		colour string
	}{{message.Down, red}, {message.Degraded, yellow}} {
		for _, d := range s.Links {
			if d.Health == health.is {
				return paint(out, health.colour, printable(short(processes.Describe(d), errorWidth)))
			}
		}
	}
	switch {
	case len(s.Links) > 0:
		return "ok"
	case s.InFlight == nil:
		return "?"
	}
	return "-"
}

// statusVerdict is an error for what hurts; silent says that a process was not heard.
func statusVerdict(all []queues.Status, troubles []string, strict, silent bool) error {
	var stuck []string
	var errs []error
	for _, s := range all {
		switch down := s.Down(); {
		case s.State == queues.Stuck:
			stuck = append(stuck, s.Queue)
		case s.Hurts(strict):
			errs = append(errs, fmt.Errorf("%s is %s: %s", s.Queue, s.State, processes.Describe(*down)))
		}
	}
	if len(stuck) > 0 {
		errs = append(errs, fmt.Errorf("%s stuck, with messages and no consumer: %s", plural(len(stuck), "queue"), strings.Join(stuck, ", ")))
	}
	for _, line := range troubles {
		errs = append(errs, errors.New(line))
	}
	if len(errs) == 0 && silent {
		return operate.Unreachable{Err: errors.New("not every process answered")}
	}
	return errors.Join(errs...)
}

func clearCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var yes bool
	cmd := &cobra.Command{
		Use:   "clear FILE|DIR|QUEUE…",
		Short: "Delete all that waits in queues",
		Long: "Delete all that waits in the queues of a fleet's files, or in queues by name. What is in flight\n" +
			"is not deleted, and neither are dead letters (see `switchboard failures drop`).",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onQueues(cmd.Context(), args, func(b broker.Broker, names []string) error {
				if !yes {
					return refuseToClear(cmd.Context(), b, names)
				}
				return clearQueues(cmd.Context(), cmd.OutOrStdout(), b, names)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// refuseToClear says what would be lost.
func refuseToClear(ctx context.Context, b broker.Admin, names []string) error {
	waiting, err := queues.Waiting(ctx, b, names)
	if err != nil {
		return err
	}
	return misused(fmt.Errorf("%s in %s would be deleted for ever; say --yes if that is meant",
		plural(queues.Sum(waiting), "message"), plural(len(names), "queue")))
}

func clearQueues(ctx context.Context, out io.Writer, b broker.Broker, names []string) error {
	cleared, err := queues.Clear(ctx, b, names)
	printCounts(out, cleared, "message", "deleted")
	return err
}

// printCounts prints a line for each queue, and their sum unless there is one line.
func printCounts(out io.Writer, counts []queues.Count, thing, done string) {
	for _, c := range counts {
		_, _ = fmt.Fprintf(out, "%s: %s %s\n", c.Queue, plural(c.Messages, thing), done)
	}
	if len(counts) != 1 {
		_, _ = fmt.Fprintf(out, "%s %s\n", plural(queues.Sum(counts), thing), done)
	}
}

func waitCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var ask asking
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait FILE|DIR|QUEUE…",
		Short: "Wait until queues are empty and nothing of them is in flight",
		Long: `Wait until nothing waits in the queues of a fleet's files, or in queues by name,
nothing of them waits for a retry, and no worker holds anything of them. The exit code is 1 when that is not so within
--timeout, and 4 when it cannot be known: the broker does not say what is in flight,
so the processes that read the queues are asked (--process; those on this machine
when none is named), or RabbitMQ's management (--management-url).`,
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < 0 {
				return misused(errors.New("--timeout must not be negative; 0 is never"))
			}
			if err := ask.check(o.amqpURL); err != nil {
				return err // whether something waits or not
			}
			return o.onTarget(cmd.Context(), args, func(b broker.Broker, target queues.Target) error {
				return target.AwaitEmpty(cmd.Context(), b, timeout, func(context.Context) (queues.Sources, error) {
					from, _, err := ask.sources(cmd, o.amqpURL)
					return from, err
				})
			})
		},
	}
	o.add(cmd)
	ask.add(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long: 90s, 5m (0 is never)")
	return cmd
}
