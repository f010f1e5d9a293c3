package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/persistence"
	"switchboard/worker/deadletter"
)

// dialer opens the broker a URL names and waits until it is there.
type dialer func(ctx context.Context, url string) (broker.Broker, error)

// operatorCommands are the commands that look after queues.
func operatorCommands(classes fleet.Classes, dial dialer) []*cobra.Command {
	return []*cobra.Command{
		statusCommand(classes, dial), clearCommand(classes, dial), waitCommand(classes, dial),
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
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.amqpURL, "amqp-url", env("AMQP_URL", defaultAMQP), "the broker: amqp:// or amqps:// (AMQP_URL)")
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

// How long a command waits for the broker, and how often it looks.
const (
	dialTimeout = 10 * time.Second
	dialPoll    = 20 * time.Millisecond
)

// dialBroker is the dialer of the program.
func dialBroker(ctx context.Context, url string) (broker.Broker, error) {
	if strings.HasPrefix(url, "memory:") {
		return nil, misused(errors.New("memory: lives within the process that runs the fleet; name RabbitMQ with --amqp-url or AMQP_URL"))
	}
	b, err := fleet.OpenBroker(url, "switchboard operator", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, misused(err)
	}
	if err := awaitConnected(ctx, b, dialTimeout); err != nil {
		return nil, errors.Join(err, fleet.CloseBroker(b))
	}
	return b, nil
}

func awaitConnected(ctx context.Context, b broker.Broker, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(dialPoll)
	defer poll.Stop()
	for {
		state := b.State()
		if state.Connected {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("reaching the broker within %s: %w; look at AMQP_URL and whether RabbitMQ is up", patience, state.LastError)
		}
	}
}

// someTarget is for commands that need to know which queues are meant.
func someTarget(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return misused(fmt.Errorf("name a fleet's files or directories, or queues: %s configs/production", cmd.CommandPath()))
}

// queues are the queues that arguments name: all of a fleet's files, or queues
// by their own names. Dead letters are named by the queue they came from.
func (o *operator) queues(args []string) ([]string, error) {
	paths, names := split(args)
	defs, err := o.load(paths)
	if err != nil {
		return nil, err
	}
	for _, connector := range connectors(defs) {
		for _, flow := range [...]message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			names = append(names, message.Key(connector, flow))
		}
	}
	for _, d := range defs {
		if d.Class == "persistence" {
			names = append(names, persistence.RecordQueue(d.Name), persistence.TaskQueue(d.Name))
		}
	}
	return unique(names), nil
}

func (o *operator) load(paths []string) ([]*fleet.Definition, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	defs, err := o.classes.Load(paths...)
	return defs, misused(err)
}

// connectors are all connectors of the files, in the files' order.
func connectors(defs []*fleet.Definition) []string {
	var all []string
	for _, d := range defs {
		all = append(all, d.Connectors()...)
	}
	return unique(all)
}

// split tells files and directories from names. What looks like a path is one,
// so that a wrong path is an error and not a queue that is not there.
func split(args []string) (paths, names []string) {
	for _, arg := range args {
		_, err := os.Stat(arg)
		switch {
		case err == nil, strings.ContainsRune(arg, '/'), strings.HasSuffix(arg, ".yaml"), strings.HasSuffix(arg, ".yml"):
			paths = append(paths, arg)
		default:
			names = append(names, deadletter.QueueOf(arg))
		}
	}
	return paths, names
}

func unique(names []string) []string {
	var once []string
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

// plural is "1 message", "2 messages".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
