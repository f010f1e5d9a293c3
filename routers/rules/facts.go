package rules

import (
	"time"

	"switchboard/dispatcher"
	"switchboard/message"
)

// facts are what conditions can ask of one arrival, worked out when asked.
type facts struct {
	arrival  *dispatcher.Arrival
	health   dispatcher.Health
	zone     *time.Location
	language *language
	clock    func() time.Time
	now      time.Time // zero until asked

	word      string
	knowsWord bool
	tag       [2]string // pool and name
	knowsTag  bool
	countryOf string // the address whose country is known
	country   string

	scratch
}

// about makes the facts those of another arrival.
func (f *facts) about(r *Router, a *dispatcher.Arrival) {
	f.forget()
	*f = facts{arrival: a, health: r.health, zone: r.zone, clock: r.clock, language: r.language, scratch: f.scratch}
}

// text is a fact that is text; "" stands for null and for what events lack.
type text func(*facts) string

// texts are the facts that are text, by the name conditions use.
func texts() map[string]text {
	m := func(field func(*message.Message) string) text {
		return func(f *facts) string {
			if f.arrival.Message == nil {
				return ""
			}
			return field(f.arrival.Message)
		}
	}
	e := func(field func(*message.Event) string) text {
		return func(f *facts) string {
			if f.arrival.Event == nil {
				return ""
			}
			return field(f.arrival.Event)
		}
	}
	from := m(func(m *message.Message) string { return m.From })
	to := m(func(m *message.Message) string { return m.To })
	return map[string]text{
		"flow":            func(f *facts) string { return string(f.arrival.Flow) },
		"connector":       func(f *facts) string { return f.arrival.Connector },
		"endpoint":        (*facts).endpoint,
		"transport_name":  func(f *facts) string { return f.arrival.TransportName() },
		"transport_type":  m(func(m *message.Message) string { return m.TransportType }),
		"from":            from,
		"from_addr":       from,
		"to":              to,
		"to_addr":         to,
		"person":          func(f *facts) string { return f.arrival.Person() },
		"group":           m(func(m *message.Message) string { return m.Group }),
		"content":         m(func(m *message.Message) string { return m.Content }),
		"word":            (*facts).firstWord,
		"session":         m(func(m *message.Message) string { return string(m.SessionEvent) }),
		"provider":        m(func(m *message.Message) string { return m.Provider }),
		"in_reply_to":     m(func(m *message.Message) string { return m.InReplyTo }),
		"tag_pool":        func(f *facts) string { return f.tags()[0] },
		"tag_name":        func(f *facts) string { return f.tags()[1] },
		"event_type":      e(func(e *message.Event) string { return string(e.Type) }),
		"delivery_status": e(func(e *message.Event) string { return string(e.DeliveryStatus) }),
	}
}

// test is a fact that holds or not, or a condition worked out to one.
type test func(*facts) bool

// flags are the facts that hold or not, by the name conditions use.
func flags() map[string]test {
	flow := func(want message.Flow) test {
		return func(f *facts) bool { return f.arrival.Flow == want }
	}
	return map[string]test{
		"inbound":  flow(message.Inbound),
		"outbound": flow(message.Outbound),
		"event":    flow(message.EventFlow),
		"reply":    func(f *facts) bool { return f.arrival.Message != nil && f.arrival.Message.InReplyTo != "" },
	}
}

func (f *facts) endpoint() string {
	if f.arrival.Event != nil {
		return f.arrival.Event.Endpoint()
	}
	return f.arrival.Message.Endpoint()
}

func (f *facts) firstWord() string {
	if !f.knowsWord && f.arrival.Message != nil {
		f.word, f.knowsWord = firstWord(f.arrival.Message.Content), true
	}
	return f.word
}

// tags are the pool and the name of the message's tag, as the tagging
// middleware leaves them: helper_metadata.tag.tag = [pool, name].
func (f *facts) tags() [2]string {
	if f.knowsTag || f.arrival.Message == nil {
		return f.tag
	}
	var pair []string
	tag := f.arrival.Message.HelperMetadata.Object("tag")
	if tag.Decode("tag", &pair) == nil && len(pair) == 2 {
		f.tag = [2]string(pair)
	}
	f.knowsTag = true
	return f.tag
}

// changed forgets what was worked out of a message that was changed since.
func (f *facts) changed() {
	f.forget()
	f.knowsWord, f.knowsTag, f.word, f.tag = false, false, "", [2]string{}
}

func (f *facts) time(zone *time.Location) time.Time {
	if f.now.IsZero() {
		f.now = f.clock()
	}
	if zone == nil {
		zone = f.zone
	}
	return f.now.In(zone)
}
