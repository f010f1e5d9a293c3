package fleet

import (
	"errors"

	"switchboard/broker"
)

// Check holds the workers of a fleet against each other.
func Check(defs []*Definition) error {
	return errors.Join(checkNames(defs), checkQueueTypes(defs))
}

func checkNames(defs []*Definition) error {
	var errs []error
	first := map[string]*Definition{}
	for _, d := range defs {
		if was := first[d.Name]; was != nil {
			errs = append(errs, positionf(d.doc.Position("worker_name"),
				"the worker's name %q is taken by %s; set worker_name", d.Name, was.Path))
			continue
		}
		first[d.Name] = d
	}
	return errors.Join(errs...)
}

// checkQueueTypes refuses workers that would declare the same queues with
// different arguments: the broker would let only the first of them in.
func checkQueueTypes(defs []*Definition) error {
	var errs []error
	type owner struct {
		d    *Definition
		kind broker.QueueType
	}
	first := map[string]owner{}
	for _, d := range defs {
		for _, connector := range d.Connectors() {
			was, known := first[connector]
			if !known {
				first[connector] = owner{d, d.Settings.QueueType}
				continue
			}
			if was.kind != d.Settings.QueueType {
				errs = append(errs, positionf(d.doc.Position("queue_type"),
					"connector %s has queue_type %s here and %s in %s; all workers of a fleet must agree", connector, d.Settings.QueueType, was.kind, was.d.Path))
			}
		}
	}
	return errors.Join(errs...)
}

// Connectors are all connectors the worker touches.
func (d *Definition) Connectors() []string {
	if d.Connector != "" {
		return []string{d.Connector}
	}
	return append(append([]string(nil), d.Names.Transports...), d.Names.Exposed...)
}
