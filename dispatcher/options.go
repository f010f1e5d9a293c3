package dispatcher

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"switchboard/options"
	"switchboard/worker"
)

// Options are a dispatcher's own options, at the top level of its file beside
// its router's.
type Options struct {
	worker.Settings `yaml:",inline"`
	// Transports are the connectors of transports.
	Transports options.Names `yaml:"transport_names"`
	// Exposed are the connectors applications attach to.
	Exposed options.Names `yaml:"exposed_names"`
	// ReceiveInbound is transport_names in the files of Vumi's endpoint
	// dispatchers.
	ReceiveInbound options.Names `yaml:"receive_inbound_connectors"`
	// ReceiveOutbound is exposed_names in the files of Vumi's endpoint dispatchers.
	ReceiveOutbound options.Names `yaml:"receive_outbound_connectors"`
	// MaxHops is how many dispatchers a message may pass. One that passed more is
	// dead-lettered: it runs in a circle.
	MaxHops int `yaml:"max_hops"`
	// RememberOutbound keeps, in the state store, where each outbound message came
	// from, for its events. Switchboard's own transports carry that with the
	// message; switch it off where there are no others.
	RememberOutbound bool `yaml:"remember_outbound"`
	// ExpireRoutingMemory is how long it is kept. Default 604800 s, seven days.
	ExpireRoutingMemory options.Duration `yaml:"expire_routing_memory"`
	// NoRouteReply is what a person with a session open (USSD) is told whose
	// message no route takes; it ends the session. Default none: the message is
	// dead-lettered. Example: This service is not available.
	NoRouteReply string `yaml:"no_route_reply"`
	// EventsWithoutSender is where acks, nacks and delivery reports go that
	// neither the message, the memory nor a route assigns to an application, as
	// after a cutover: dead_letter, all (every exposed name gets a copy), or one
	// exposed name.
	EventsWithoutSender string `yaml:"events_without_sender"`
}

// IgnoredKeys are those of Vumi's dispatchers.
func (Options) IgnoredKeys() map[string]string {
	return map[string]string{"dispatcher_name": "worker_name names a worker"}
}

// The defaults of a dispatcher. A large prefetch keeps its pipelines full. It is
// also the most that a killed dispatcher repeats, and what its memory grows with,
// so many queues share it.
const (
	sharedPrefetch = 500
	leastPrefetch  = 10
	defaultMaxHops = 16
	defaultMemory  = 7 * 24 * time.Hour
)

// prefetch is the dispatcher's choice for each of its queues. Events come on
// queues of their own but are few: they do not count.
func (n Names) prefetch() int {
	return max(leastPrefetch, sharedPrefetch/max(1, len(n.Transports)+len(n.Exposed)-1))
}

// DefaultOptions are the options of a dispatcher whose file names none.
func DefaultOptions() Options {
	return Options{
		Settings: worker.DefaultSettings(), MaxHops: defaultMaxHops,
		RememberOutbound: true, ExpireRoutingMemory: options.Duration(defaultMemory),
		EventsWithoutSender: deadLetterEvents,
	}
}

// Names are the dispatcher's connectors, under whichever keys they are given.
func (o *Options) Names() Names {
	return Names{
		Transports: slices.Concat(o.Transports, o.ReceiveInbound),
		Exposed:    slices.Concat(o.Exposed, o.ReceiveOutbound),
	}
}

// Validate checks the options.
func (o *Options) Validate() error {
	errs := []error{o.Settings.Validate()}
	if o.MaxHops < 1 {
		errs = append(errs, options.Fieldf("max_hops", "must be at least 1"))
	}
	if o.RememberOutbound && o.ExpireRoutingMemory.Std() < time.Second {
		errs = append(errs, options.Fieldf("expire_routing_memory", "must be at least 1s"))
	}
	transports, err := eitherOf("transport_names", o.Transports, "receive_inbound_connectors", o.ReceiveInbound)
	errs = append(errs, err)
	exposed, err := eitherOf("exposed_names", o.Exposed, "receive_outbound_connectors", o.ReceiveOutbound)
	errs = append(errs, err)
	names := o.Names()
	errs = append(errs, o.checkUnrouted(names.Exposed))
	if len(names.Transports) == 0 {
		errs = append(errs, options.Fieldf(transports, "is missing; a dispatcher needs at least one transport"))
	}
	for _, name := range names.Exposed {
		if slices.Contains(names.Transports, name) {
			errs = append(errs, options.Field(fmt.Errorf("%s is one of %s too", name, transports), exposed, name))
		}
	}
	return errors.Join(errs...)
}

// eitherOf checks the names under whichever of two keys the file uses, and says
// which that is.
func eitherOf(key string, names []string, other string, others []string) (used string, err error) {
	switch {
	case len(others) == 0:
		return key, checkNames(key, names)
	case len(names) == 0:
		return other, checkNames(other, others)
	}
	return key, options.Fieldf(other, "says the same as %s; write one of them", key)
}

func checkNames(key string, names []string) error {
	var errs []error
	for i, name := range names {
		if err := worker.CheckConnector(name); err != nil {
			errs = append(errs, options.Field(err, key, name))
		}
		if slices.Contains(names[:i], name) {
			errs = append(errs, options.Field(fmt.Errorf("%s is there twice", name), key, name))
		}
	}
	return errors.Join(errs...)
}
