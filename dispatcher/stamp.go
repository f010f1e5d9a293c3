package dispatcher

import "switchboard/message"

// stampPath notes where an outbound message came from.
func stampPath(routing *message.Object, h home) {
	routing.Set(message.PathKey, append(path(routing), h))
}

func path(routing *message.Object) []home {
	var homes []home
	if routing.Decode(message.PathKey, &homes) != nil {
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
		routing.Set(message.PathKey, homes[:len(homes)-1])
	} else {
		routing.Delete(message.PathKey)
	}
	return last
}
