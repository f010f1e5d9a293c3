package middleware

import (
	"strings"

	"switchboard/message"
)

// ours is our own address of a message: the one the person writes to, or is
// written to from.
func ours(e *message.Envelope) string {
	if e.Flow == message.Outbound {
		return e.Message.From
	}
	return e.Message.To
}

// bare is an address for comparing: a number is the same with and without its
// plus, and nobody else's address changes.
func bare(address string) string {
	if digits, is := digitsOf(address); is {
		return digits
	}
	return strings.ToLower(address)
}

// spellings are an address, and what else it may be written as: a number with
// and without its plus.
func spellings(address string) []string {
	if digits, is := digitsOf(address); is {
		return []string{digits, "+" + digits}
	}
	return []string{address}
}

// digitsOf is an address without its plus, if it is a number.
func digitsOf(address string) (digits string, is bool) {
	digits = strings.TrimPrefix(address, "+")
	return digits, digits != "" && strings.Trim(digits, "0123456789") == ""
}
