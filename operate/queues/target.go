package queues

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/operate/processes"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/worker/deadletter"
)

// Target is what the arguments of a command name: the files of a fleet, and queues
// or connectors by their own names.
type Target struct {
	Workers []*fleet.Definition
	Names   []string

	only []string // of its queues, where it was narrowed
}

var flows = [...]message.Flow{message.Inbound, message.Outbound, message.EventFlow}

// Find reads the files among args; the other arguments are names. Dead letters are
// named by the queue they came from.
func Find(classes fleet.Classes, args []string) (t Target, err error) {
	paths, names := split(args)
	t.Names = names
	if len(paths) > 0 {
		classes.WithoutSecrets = true
		t.Workers, err = classes.Load(paths...)
	}
	return t, operate.Misused(err)
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

// Queues are the queues by name, and all queues of the files.
func (t Target) Queues() []string {
	if len(t.only) > 0 {
		return unique(t.only)
	}
	names := slices.Clone(t.Names)
	for _, connector := range connectors(t.Workers) {
		for _, flow := range flows {
			names = append(names, message.Key(connector, flow))
		}
	}
	for _, d := range t.Workers {
		names = append(names, d.OwnQueues()...)
		if d.Class == "persistence" {
			names = append(names, persistence.RecordQueue(d.Name), persistence.TaskQueue(d.Name))
		}
	}
	return unique(names)
}

// Only narrows the target to some of its queues; a target that names none gets them.
func (t Target) Only(some []string) (Target, error) {
	all := t.Queues()
	for _, name := range some {
		switch name = deadletter.QueueOf(name); {
		case len(all) == 0:
			t.Names = append(t.Names, name)
		case slices.Contains(all, name):
			t.only = append(t.only, name)
		default:
			return t, operate.Misused(fmt.Errorf("--queue %s is none of the queues of what is named%s", name, options.DidYouMean(name, all)))
		}
	}
	return t, nil
}

// CheckQueues refuses a name that is no queue, of those that the files do not say.
func (t Target) CheckQueues(ctx context.Context, b broker.Admin) error {
	known := Target{Workers: t.Workers}.Queues()
	for _, name := range t.Names {
		if slices.Contains(known, name) {
			continue
		}
		if err := CheckQueue(ctx, b, name, known); err != nil {
			return err
		}
	}
	return nil
}

// CheckQueue refuses a name that is no queue, with the nearest of known, and of those that
// exist.
func CheckQueue(ctx context.Context, b broker.Admin, name string, known []string) error {
	found, err := exists(ctx, b, name)
	if err != nil || found {
		return err
	}
	near, err := similar(ctx, b, name)
	if err != nil {
		return err
	}
	return operate.Misused(fmt.Errorf("the broker has no queue %s%s", name, options.DidYouMean(name, append(near, known...))))
}

// CheckConnectors refuses a name that is no connector: none of its queues exists.
func (t Target) CheckConnectors(ctx context.Context, b broker.Admin) error {
	known := connectors(t.Workers)
	for _, name := range t.Names {
		if slices.Contains(known, name) {
			continue
		}
		there := false
		for _, flow := range flows {
			found, err := exists(ctx, b, message.Key(name, flow))
			if err != nil {
				return err
			}
			there = there || found
		}
		if !there {
			return operate.Misused(fmt.Errorf("the broker has no queue of a connector %s%s", name, options.DidYouMean(name, append(running(ctx), known...))))
		}
	}
	return nil
}

// similar are queues that exist and may be meant. Brokers list none: they are those of the
// name's own connector, and those of the workers on this machine.
func similar(ctx context.Context, b broker.Admin, name string) (near []string, err error) {
	connector := name
	if at := strings.LastIndexByte(name, '.'); at > 0 {
		connector = name[:at]
	}
	for _, flow := range flows {
		key := message.Key(connector, flow)
		found, err := exists(ctx, b, key)
		if err != nil {
			return nil, err
		}
		if found {
			near = append(near, key)
		}
	}
	for _, running := range running(ctx) {
		for _, flow := range flows {
			near = append(near, message.Key(running, flow))
		}
	}
	return near, nil
}

// running are the connectors of the workers on this machine.
func running(ctx context.Context) []string {
	answers, _ := processes.Ask(ctx) // none is an error
	return processes.Connectors(answers)
}

// exists says whether there is a queue, or dead letters of one.
func exists(ctx context.Context, b broker.Admin, queue string) (bool, error) {
	for _, name := range [...]string{queue, queue + broker.DeadSuffix} {
		if _, there, err := inspect(ctx, b, name); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// Connectors are the connectors by name, and all connectors of the files.
func (t Target) Connectors() []string {
	return unique(append(slices.Clone(t.Names), connectors(t.Workers)...))
}

func connectors(defs []*fleet.Definition) []string {
	var all []string
	for _, d := range defs {
		all = append(all, d.Connectors()...)
	}
	return unique(all)
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
