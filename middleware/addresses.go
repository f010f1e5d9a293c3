package middleware

import "switchboard/message"

// ours is our own address of a message: the one the person writes to, or is
// written to from.
func ours(e *message.Envelope) string {
	if e.Flow == message.Outbound {
		return e.Message.From
	}
	return e.Message.To
}
