// Package protect turns the panics of others' code into errors.
package protect

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic, as an error.
type PanicError struct {
	Value any
	Stack []byte
}

// Error says what was panicked with.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Call calls what may panic, which is then a *PanicError.
func Call(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return call()
}
