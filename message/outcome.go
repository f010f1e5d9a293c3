package message

import (
	"errors"
	"fmt"
	"time"
)

// The error a plugin returns is the outcome: nil is done, Permanent is never
// again, Discard is dropped on purpose, and any other error is tried again.

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks an error that trying again cannot mend. Nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent says whether err, or one it wraps, was marked by Permanent.
func IsPermanent(err error) bool {
	var p permanentError
	return errors.As(err, &p)
}

type retryError struct {
	error
	after time.Duration
}

func (e retryError) Unwrap() error { return e.error }

// RetryAfter marks an error after which the work is to be tried again, not
// before d. Nil stays nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return retryError{err, d}
}

// RetryDelay is the delay RetryAfter gave err; ok is false when it gave none.
func RetryDelay(err error) (d time.Duration, ok bool) {
	var r retryError
	if !errors.As(err, &r) {
		return 0, false
	}
	return r.after, true
}

type discardError struct {
	reason string
	tell   bool
}

func (e discardError) Error() string { return fmt.Sprintf("discarded: %s", e.reason) }

// Discard drops a message on purpose; reason is counted and logged.
func Discard(reason string) error { return discardError{reason: reason} }

// Reject is Discard for a message whose sender must know: an outbound message's
// application gets a nack with the reason.
func Reject(reason string) error { return discardError{reason: reason, tell: true} }

// IsRejection says whether err, or one it wraps, was made by Refuse.
func IsRejection(err error) bool {
	var d discardError
	return errors.As(err, &d) && d.tell
}

// DiscardReason is the reason given to Discard or Refuse; ok is false for other
// errors.
func DiscardReason(err error) (reason string, ok bool) {
	var d discardError
	if !errors.As(err, &d) {
		return "", false
	}
	return d.reason, true
}
