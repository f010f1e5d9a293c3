package receipt

import (
	"fmt"
	"maps"
	"strings"

	"switchboard/smpp/pdu"
)

// Status is what became of a message, as its sender needs to know it.
type Status string

// The statuses, spelt as the delivery_status of a delivery report event.
const (
	Pending   Status = "pending"
	Delivered Status = "delivered"
	Failed    Status = "failed"
)

// ParseStatus returns the status of a name, in any case.
func ParseStatus(name string) (Status, error) {
	switch s := Status(strings.ToLower(name)); s {
	case Pending, Delivered, Failed:
		return s, nil
	}
	return "", fmt.Errorf("no delivery status is called %q: there are pending, delivered and failed", name)
}

// Final reports whether nothing else is to come.
func (s Status) Final() bool { return s == Delivered || s == Failed }

// StatusMap says what an SMSC's words mean, in upper case: those of the stat
// field, and the names of pdu.MessageState. A word that is not in it is Pending.
type StatusMap map[string]Status

// DefaultStatusMap returns a new map with the usual meanings. Those that mean
// Pending (ENROUTE, ACCEPTD, UNKNOWN, …) are left out. ACCEPTED, as a
// message_state says it (read by its recipient, SMPP 5.0 §4.7.15), and 0,
// as Yo! says it, mean what they mean to Vumi.
func DefaultStatusMap() StatusMap {
	return StatusMap{
		"DELIVRD":       Delivered,
		"DELIVERED":     Delivered,
		"ACCEPTED":      Delivered,
		"0":             Delivered,
		"UNDELIV":       Failed,
		"UNDELIVERABLE": Failed,
		"EXPIRED":       Failed,
		"DELETED":       Failed,
		"REJECTD":       Failed,
		"REJECTED":      Failed,
		"FAILED":        Failed,
	}
}

// With returns a copy of the map in which the words of overrides, in any case,
// have the meaning given there. It fails when a meaning is no status.
func (m StatusMap) With(overrides map[string]string) (StatusMap, error) {
	all := maps.Clone(m)
	if all == nil {
		all = StatusMap{}
	}
	for word, name := range overrides {
		status, err := ParseStatus(name)
		if err != nil {
			return nil, fmt.Errorf("mapping %q: %w", word, err)
		}
		all[strings.ToUpper(word)] = status
	}
	return all, nil
}

// Of returns what a word means.
func (m StatusMap) Of(word string) Status {
	if s, ok := m[strings.ToUpper(strings.TrimSpace(word))]; ok {
		return s
	}
	return Pending
}

// OfState returns what a message_state means (SMPP 3.4 §5.2.28).
func (m StatusMap) OfState(s pdu.MessageState) Status { return m.Of(s.String()) }

// Word returns the stat field's word for a message_state (SMPP 3.4 appendix B).
func Word(s pdu.MessageState) string {
	switch s {
	case pdu.StateDelivered:
		return "DELIVRD"
	case pdu.StateUndeliverable:
		return "UNDELIV"
	case pdu.StateAccepted:
		return "ACCEPTD"
	case pdu.StateRejected:
		return "REJECTD"
	}
	return s.String()
}
