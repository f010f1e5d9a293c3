// Package operate holds what an operator asks of a fleet. Its packages answer with
// data and print nothing, so that commands and a console share them.
package operate

// Misuse is an error of the question: the command line, or a configuration.
type Misuse struct{ Err error }

func (m Misuse) Error() string { return m.Err.Error() }

func (m Misuse) Unwrap() error { return m.Err }

// Misused makes a Misuse of err, and nil of nil.
func Misused(err error) error {
	if err == nil {
		return nil
	}
	return Misuse{err}
}

// Unreachable is an error of what was to be asked: the broker, the database or a
// process did not answer, so that nothing is known.
type Unreachable struct{ Err error }

func (u Unreachable) Error() string { return u.Err.Error() }

func (u Unreachable) Unwrap() error { return u.Err }
