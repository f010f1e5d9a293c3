// Package fleet turns YAML files into running workers: it knows the classes of
// a binary, loads and checks the files of a fleet together, and runs any number
// of workers in one process.
package fleet

import (
	"fmt"
	"slices"
	"strings"

	"switchboard/applications"
	"switchboard/dispatcher"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/worker"
)

// Class is one thing a binary can run, under its short name (the key it has in
// Classes).
type Class[T any] struct {
	// New makes it with its defaults; the YAML is decoded over what New returns.
	New func() T
	// Vumi are Vumi's dotted names for it.
	Vumi []string
	// About is one line for `switchboard classes`.
	About string
}

// Standalone is a worker that is neither dispatcher, transport nor application:
// it is configured by its YAML and then makes its worker.
type Standalone interface {
	// Common are the settings every worker has, within the standalone's own.
	Common() *worker.Settings
	// Worker makes the worker.
	Worker(env worker.Dependencies) (worker.Worker, error)
}

// Unqueued is the optional ability of a Standalone to take nothing from queues: it is
// ready as soon as it runs.
type Unqueued interface{ Unqueued() }

// Classes are all a binary knows. main.go builds the value; nothing registers
// itself.
type Classes struct {
	Routers      map[string]Class[dispatcher.Router]
	Transports   map[string]Class[transports.Transport]
	Applications map[string]Class[applications.Application]
	Workers      map[string]Class[Standalone]
	Middleware   map[string]Class[worker.Middleware]
	// Replaced says what to use in the place of Vumi's classes that there are none of
	// here, by their dotted names.
	Replaced map[string]string
	// Default is the class of files that name none, by its short name or Vumi's.
	Default string
	// WithoutSecrets loads files whose workers are not to run here: secrets and
	// variables that this process does not have are no errors.
	WithoutSecrets bool
}

// The keys that say what a worker's file is.
const (
	routerKey      = "router_class"
	transportKey   = "transport_class"
	applicationKey = "application_class"
	workerKey      = "worker_class"
)

var classKeys = []string{routerKey, transportKey, applicationKey, workerKey}

// lookUp finds a class by its short name or one of Vumi's.
func lookUp[T any](classes map[string]Class[T], name string) (short string, class Class[T], err error) {
	if class, found := classes[name]; found {
		return name, class, nil
	}
	for short, class := range classes {
		if slices.Contains(class.Vumi, name) {
			return short, class, nil
		}
	}
	return "", class, fmt.Errorf("unknown class %q%s", name, nearest(classes, name))
}

func nearest[T any](classes map[string]Class[T], name string) string {
	known := make([]string, 0, 2*len(classes))
	for short, class := range classes {
		known = append(append(known, short), class.Vumi...)
	}
	slices.Sort(known)
	if hint := options.DidYouMean(name, known); hint != "" {
		return hint
	}
	if len(classes) == 0 {
		return "; this program has none of its kind"
	}
	return "; `switchboard classes` lists what this program knows: " + strings.Join(shortNames(classes), ", ")
}

func shortNames[T any](classes map[string]Class[T]) []string {
	names := make([]string, 0, len(classes))
	for name := range classes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// keysOf are the keys that may name a class of that name.
func (c Classes) keysOf(name string) (keys []string) {
	for _, listed := range c.List() {
		if key := listed.Kind + "_class"; slices.Contains(classKeys, key) && (listed.Name == name || slices.Contains(listed.Vumi, name)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Listed is a class as `switchboard classes` shows it.
type Listed struct {
	Kind  string   `json:"kind"` // router, transport, application, worker, middleware
	Name  string   `json:"name"`
	Vumi  []string `json:"vumi,omitempty"`
	About string   `json:"about"`
}

// List is every class, sorted by kind and name.
func (c Classes) List() []Listed {
	return slices.Concat(
		list("application", c.Applications), list("middleware", c.Middleware), list("router", c.Routers),
		list("transport", c.Transports), list("worker", c.Workers),
	)
}

func list[T any](kind string, classes map[string]Class[T]) []Listed {
	var all []Listed
	for _, name := range shortNames(classes) {
		all = append(all, Listed{kind, name, classes[name].Vumi, classes[name].About})
	}
	return all
}

// baseDispatcher are Vumi's names for a dispatcher whose router stands in its
// file.
var baseDispatcher = []string{"dispatcher", "vumi.dispatchers.BaseDispatchWorker", "vumi.dispatchers.base.BaseDispatchWorker"}

// SetClass says what the worker of a document is, where Vumi's command line
// does it and not the file.
func (c Classes) SetClass(doc *options.Document, name string) error {
	key, err := c.classKey(name)
	if key == "" || err != nil {
		return err
	}
	return doc.Set(key, name)
}

// CheckClass says whether there is a class of that name, of whatever kind.
func (c Classes) CheckClass(name string) error {
	_, err := c.classKey(name)
	return err
}

// classKey is the key that a class stands under; a dispatcher's base class has none.
func (c Classes) classKey(name string) (string, error) {
	if slices.Contains(baseDispatcher, name) {
		return "", nil
	}
	for _, kind := range []struct {
		key string
		has func() error
	}{
		{transportKey, func() error { _, _, err := lookUp(c.Transports, name); return err }},
		{applicationKey, func() error { _, _, err := lookUp(c.Applications, name); return err }},
		{routerKey, func() error { _, _, err := lookUp(c.Routers, name); return err }},
		{workerKey, func() error { _, _, err := lookUp(c.Workers, name); return err }},
	} {
		if kind.has() == nil {
			return kind.key, nil
		}
	}
	if instead, known := c.Replaced[name]; known {
		return "", fmt.Errorf("class %q is not here: %s", name, instead)
	}
	all := make([]string, 0, len(c.List()))
	for _, listed := range c.List() {
		all = append(append(all, listed.Name), listed.Vumi...)
	}
	return "", fmt.Errorf("unknown class %q%s; `switchboard classes` lists them", name, options.DidYouMean(name, all))
}
