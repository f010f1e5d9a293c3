package dispatcher

import (
	"switchboard/message"
)

// What dispatchers keep in routing_metadata.
const (
	// pathKey holds the homes of an outbound message, one for each dispatcher it
	// passed, the nearest to the application first. Transports put it into the
	// message's events.
	pathKey = "switchboard_path"
	// hopsKey counts the dispatchers an envelope has passed.
	hopsKey = "switchboard_hops"
)

// stampPath notes where an outbound message came from.
func stampPath(routing *message.Object, h home) {
	routing.Set(pathKey, append(path(routing), h))
}

func path(routing *message.Object) []home {
	var homes []home
	if routing.Decode(pathKey, &homes) != nil {
		return nil // not ours, or spoilt: as good as none
	}
	return homes
}

// stamped is the home the last dispatcher noted; "" when it is none of ours.
func stamped(routing *message.Object, isOurs func(connector string) bool) home {
	homes := path(routing)
	if len(homes) == 0 {
		return ""
	}
	last := homes[len(homes)-1]
	if connector, _ := last.split(); last != nowhere && !isOurs(connector) {
		return ""
	}
	return last
}

// popPath takes our home off the event, so that the next dispatcher finds its
// own; "" when there is none.
func popPath(routing *message.Object, isOurs func(connector string) bool) home {
	last := stamped(routing, isOurs)
	if last == "" {
		return ""
	}
	if homes := path(routing); len(homes) > 1 {
		routing.Set(pathKey, homes[:len(homes)-1])
	} else {
		routing.Delete(pathKey)
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
