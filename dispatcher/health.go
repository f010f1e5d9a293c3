package dispatcher

import "switchboard/message"

// Health tells how transports are, as they said last in their status events.
type Health interface {
	// Of is the health of the transport on a connector: the worst of its
	// components', and OK while it has said nothing. It does not block.
	Of(connector string) message.Health
}

// HealthUser is the optional ability of a router to choose by health;
// UseHealth is called once, before the first Route.
type HealthUser interface {
	UseHealth(h Health)
}
