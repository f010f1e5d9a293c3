package message

import (
	"strings"
	"time"
)

// What dispatchers keep in routing_metadata, beside Vumi's endpoint_name.
const (
	// PathKey holds where an outbound message came from, one name for each
	// dispatcher it passed, the nearest to the application first. Transports
	// put it into the message's events, which find their way back by it.
	PathKey = "switchboard_path"
	// Nowhere stands in it for what no application sent: a dispatcher's own
	// reply, a broadcast. Its events go to no application.
	Nowhere = "!"
	// AgainKey is true where somebody on the way handled the envelope a second
	// time, so that another copy of it may exist. Whoever acts on the outside
	// looks then whether it has been done.
	AgainKey = "switchboard_again"
	// HopsKey holds a Hop for each dispatcher an envelope has passed.
	HopsKey = "switchboard_hops"
	// AnsweredKey holds the hops of the message that a reply answers, for who traces it.
	AnsweredKey = "switchboard_answered_hops"
)

// Again says whether another copy of an envelope may exist.
func Again(routing *Object) bool { return routing.Raw(AgainKey) == "true" }

// Hop is an envelope's way through one dispatcher. On the wire it is a list of
// its three texts.
type Hop struct {
	Dispatcher string    `json:"dispatcher"`
	Rule       string    `json:"rule,omitempty"` // what decided, where the router says so
	At         time.Time `json:"at"`
}

// Hops are the dispatchers an envelope has passed, by its routing metadata.
func Hops(routing *Object) []Hop { return hopsAt(routing, HopsKey) }

// AnsweredHops are those of the message that a reply answers.
func AnsweredHops(routing *Object) []Hop { return hopsAt(routing, AnsweredKey) }

// NoteAnswered notes in a reply which way the message came that it answers.
func NoteAnswered(reply, to *Message) {
	if hops := to.RoutingMetadata.Raw(HopsKey); hops != "" {
		reply.RoutingMetadata.set(AnsweredKey, hops)
	}
}

func hopsAt(routing *Object, key string) []Hop {
	var wire [][3]string
	if routing.Decode(key, &wire) != nil {
		return nil // not ours, or malformed
	}
	hops := make([]Hop, len(wire))
	for i, w := range wire {
		at, _ := ParseTime(w[2])
		hops[i] = Hop{w[0], w[1], at}
	}
	return hops
}

// AddHop notes that an envelope passes a dispatcher now. The list is written
// as text, since this is done for every message.
func AddHop(routing *Object, dispatcher, rule string) {
	list := routing.Raw(HopsKey)
	fresh := make([]byte, 0, len(list)+len(dispatcher)+len(rule)+48)
	if strings.HasPrefix(list, `[["`) {
		fresh = append(append(fresh, list[:len(list)-1]...), ',')
	} else {
		fresh = append(fresh, '[')
	}
	fresh = append(appendQuoted(append(fresh, '['), dispatcher), ',')
	fresh = append(appendQuoted(fresh, rule), ',')
	fresh = append(appendTime(fresh, time.Now()), "]]"...)
	routing.set(HopsKey, string(fresh))
}

// Application is the exposed name of the application that sent an outbound
// message, or "" where its routing metadata does not say.
func Application(routing *Object) string {
	var path []string
	if routing.Decode(PathKey, &path) != nil || len(path) == 0 || path[0] == Nowhere {
		return ""
	}
	name, _, _ := strings.Cut(path[0], "/")
	return name
}
