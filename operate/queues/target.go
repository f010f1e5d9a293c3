package queues

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/worker/deadletter"
)

// Target is what the arguments of a command name: the files of a fleet, and queues
// or connectors by their own names.
type Target struct {
	Workers []*fleet.Definition
	Names   []string
}

// Find reads the files among args; the other arguments are names. Dead letters are
// named by the queue they came from.
func Find(classes fleet.Classes, args []string) (t Target, err error) {
	paths, names := split(args)
	t.Names = names
	if len(paths) > 0 {
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
	names := slices.Clone(t.Names)
	for _, connector := range connectors(t.Workers) {
		for _, flow := range [...]message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			names = append(names, message.Key(connector, flow))
		}
	}
	for _, d := range t.Workers {
		if d.Class == "persistence" {
			names = append(names, persistence.RecordQueue(d.Name), persistence.TaskQueue(d.Name))
		}
	}
	return unique(names)
}

// Only are the queues of the target narrowed to some; those alone where the target
// names none.
func (t Target) Only(some []string) ([]string, error) {
	all := t.Queues()
	var only []string
	for _, name := range some {
		if name = deadletter.QueueOf(name); len(all) > 0 && !slices.Contains(all, name) {
			return nil, operate.Misused(fmt.Errorf("--queue %s is none of the queues of what is named%s", name, options.DidYouMean(name, all)))
		}
		only = append(only, name)
	}
	if len(only) == 0 {
		return all, nil
	}
	return unique(only), nil
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
