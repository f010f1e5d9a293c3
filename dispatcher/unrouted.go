package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"switchboard/message"
	"switchboard/options"
)

// NoRoute is a router's error for an arrival that its configuration sends
// nowhere. It is permanent. The dispatcher answers or delivers such an arrival
// where no_route_reply or events_without_sender say so, and dead-letters it
// otherwise.
func NoRoute(format string, args ...any) error {
	return message.Permanent(noRouteError{fmt.Errorf(format, args...)})
}

type noRouteError struct{ error }

func (e noRouteError) Unwrap() error { return e.error }

// What events_without_sender may be, besides an exposed name.
const (
	deadLetterEvents = "dead_letter"
	allGetEvents     = "all"
)

// checkUnrouted checks no_route_reply and events_without_sender.
func (o *Options) checkUnrouted(exposed []string) error {
	name := o.EventsWithoutSender
	if name == deadLetterEvents || name == allGetEvents || slices.Contains(exposed, name) {
		return nil
	}
	known := append([]string{deadLetterEvents, allGetEvents}, exposed...)
	return options.Fieldf("events_without_sender", "is %q; write dead_letter, all or one of exposed_names%s", name, options.DidYouMean(name, known))
}

// unrouted is where an arrival goes that the router has no route for; err, the
// router's own, where nothing else says.
func (c *configuration) unrouted(ctx context.Context, e *message.Envelope, err error) ([]Target, error) {
	if _, ok := errors.AsType[noRouteError](err); !ok {
		return nil, err
	}
	switch {
	case e.Flow == message.EventFlow:
		return c.deliverToUnknown(ctx, e, err)
	case e.Flow == message.Inbound && c.options.NoRouteReply != "" && waits(e.Message):
		asked := e.Message.Clone()
		asked.NameReplies(c.runtime.Name + "/no_route_reply") // the same message_id if it is handled again
		answer := &message.Envelope{Message: asked.Reply(c.options.NoRouteReply, message.EndSession)}
		return []Target{{Connector: e.Connector, Flow: message.Outbound, Envelope: answer, Rule: "no_route_reply"}}, nil
	}
	return nil, err
}

// waits says whether the person has a session open, as on USSD, and sees an
// error of the network unless somebody answers.
func waits(m *message.Message) bool {
	return m.SessionEvent == message.SessionNew || m.SessionEvent == message.SessionResume
}

// deliverToUnknown takes an event to the applications that may have sent its
// message, where the file says so.
func (c *configuration) deliverToUnknown(ctx context.Context, e *message.Envelope, err error) ([]Target, error) {
	const why = "events_without_sender"
	var to []string
	switch name := c.options.EventsWithoutSender; name {
	case deadLetterEvents:
		return nil, err
	case allGetEvents:
		to = c.names.Exposed
	default:
		to = []string{name}
	}
	var targets []Target
	for _, name := range to {
		found, err := c.routeEvent(ctx, e, returnPath(name), why)
		if err != nil {
			return nil, err
		}
		targets = append(targets, found...)
	}
	return targets, nil
}
