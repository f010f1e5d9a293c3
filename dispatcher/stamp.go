package dispatcher

import (
	"switchboard/message"
)

// What dispatchers keep in routing_metadata.
const (
	// pathKey holds the exposed names an outbound message was taken from, one
	// for each dispatcher it passed, the nearest to the application first.
	// Transports put it into the message's events.
	pathKey = "switchboard_path"
	// hopsKey counts the dispatchers an envelope has passed.
	hopsKey = "switchboard_hops"
)

// stampPath notes that an outbound message was taken from exposed.
func stampPath(routing *message.Object, exposed string) {
	routing.Set(pathKey, append(path(routing), exposed))
}

func path(routing *message.Object) []string {
	var names []string
	if routing.Decode(pathKey, &names) != nil {
		return nil // not ours, or spoilt: as good as none
	}
	return names
}

// popPath takes the exposed name the event's message was taken from off the
// event, so that the next dispatcher finds its own; "" when none is known.
func popPath(routing *message.Object, isOurs func(string) bool) string {
	names := path(routing)
	if len(names) == 0 || !isOurs(names[len(names)-1]) {
		return ""
	}
	last := names[len(names)-1]
	if len(names) == 1 {
		routing.Delete(pathKey)
	} else {
		routing.Set(pathKey, names[:len(names)-1])
	}
	return last
}

// countHop adds one to the envelope's hops and returns how many there are.
func countHop(routing *message.Object) int {
	hops := 0
	if routing.Decode(hopsKey, &hops) != nil || hops < 0 {
		hops = 0
	}
	hops++
	routing.Set(hopsKey, hops)
	return hops
}
