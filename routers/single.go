package routers

import (
	"errors"
	"fmt"
	"strings"

	"switchboard/dispatcher"
	"switchboard/options"
)

// single is the exposed name of a router that allows only one.
func single(names dispatcher.Names) (string, error) {
	if len(names.Exposed) != 1 {
		return "", options.Field(fmt.Errorf("must be one name for this router, not %d (%s)",
			len(names.Exposed), strings.Join(names.Exposed, ", ")), "exposed_names")
	}
	return names.Exposed[0], nil
}

// renamed is a target for a copy of the arrival that came by, or is to leave
// by, the transport of this name.
func renamed(a *dispatcher.Arrival, connector, transport, why string) dispatcher.Target {
	t := dispatcher.Target{Connector: connector, Rule: why}
	if a.TransportName() == transport {
		return t
	}
	t.Envelope = a.Clone()
	if t.Envelope.Event != nil {
		t.Envelope.Event.TransportName = transport
	} else {
		t.Envelope.Message.TransportName = transport
	}
	return t
}

func one(t dispatcher.Target) []dispatcher.Target { return []dispatcher.Target{t} }

// flat checks a mapping of names to single connectors of a list.
func flat(m options.Map[string], known []string, list, option string) (map[string]string, error) {
	flat := make(map[string]string, len(m))
	var errs []error
	for _, pair := range m {
		flat[pair.Key] = pair.Value
		errs = append(errs, checkTarget(pair.Value, list, known, option, pair.Key))
	}
	return flat, errors.Join(errs...)
}
