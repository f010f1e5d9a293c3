package rules

import (
	"fmt"
	"slices"

	"switchboard/dispatcher"
	"switchboard/message"
)

// work is one arrival on its way through the rules.
type work struct {
	router  *Router
	facts   facts
	arrival *dispatcher.Arrival // as it is now
	first   dispatcher.Arrival  // as it came
	copied  bool
	shared  bool // a target has the copy already
	targets []dispatcher.Target
}

// own is the work's copy of the arrival, to be changed.
func (w *work) own() *dispatcher.Arrival {
	if !w.copied || w.shared {
		w.arrival, w.copied, w.shared = w.arrival.Clone(), true, false
		w.facts.arrival = w.arrival
	}
	w.facts.changed()
	return w.arrival
}

// send adds a target for the arrival as it is now.
func (w *work) send(r *rule, connector string) {
	t := dispatcher.Target{Connector: connector, Rule: r.at}
	if slices.Contains(w.router.names.Transports, connector) && w.arrival.Flow != message.Outbound {
		t.Flow = message.Outbound
	}
	switch {
	case w.copied && w.shared:
		t.Envelope = w.arrival.Clone()
	case w.copied:
		t.Envelope, w.shared = w.arrival, true
	}
	w.targets = append(w.targets, t)
}

func (r *Router) begin(a dispatcher.Arrival) *work {
	w, _ := r.works.Get().(*work)
	if w == nil {
		w = &work{}
	}
	w.router, w.first, w.arrival = r, a, &w.first
	w.facts.about(r, w.arrival)
	return w
}

func (r *Router) end(w *work) {
	*w = work{facts: facts{scratch: w.facts.scratch}}
	r.works.Put(w)
}

// check refuses what a connector cannot take, and an event for two.
func (w *work) check() error {
	if w.arrival.Flow == message.EventFlow && len(w.targets) > 1 {
		return w.refuse("the rules send it to several applications, and an event has one")
	}
	for _, t := range w.targets {
		switch toTransport := slices.Contains(w.router.names.Transports, t.Connector); {
		case toTransport && w.arrival.Flow == message.EventFlow:
			return w.refuse("%s sends it to transport %s, and transports take no events", t.Rule, t.Connector)
		case !toTransport && w.arrival.Flow == message.Outbound:
			return w.refuse("%s sends it to application %s, and applications take no outbound messages", t.Rule, t.Connector)
		}
	}
	return nil
}

func (w *work) refuse(format string, args ...any) error {
	return dispatcher.NoRoute("%s from %s: %s", w.arrival, w.arrival.Connector, fmt.Sprintf(format, args...))
}

// fail is a rule's error: of this message only. Discard stays what it is.
func (w *work) fail(r *rule, err error) error {
	if _, discarded := message.DiscardReason(err); discarded {
		return err
	}
	return message.Permanent(fmt.Errorf("%s from %s: %s: %w", w.arrival, w.arrival.Connector, r.why, err))
}
