package smpp

import (
	"fmt"

	"switchboard/options"
	"switchboard/smpp/receipt"
)

// unknownPolicy says what becomes of a submit that was not answered.
type unknownPolicy string

const (
	unknownWait   unknownPolicy = "wait"
	unknownResend unknownPolicy = "resend"
	unknownFail   unknownPolicy = "fail"
)

// UnmarshalText reads one of the policies.
func (p *unknownPolicy) UnmarshalText(text []byte) error {
	return options.OneOf(text, p, unknownWait, unknownResend, unknownFail)
}

// idFormat says how ids are spelt in one place; "auto" finds out.
type idFormat string

const (
	formatAuto  idFormat = "auto"
	formatExact idFormat = "exact"
)

// UnmarshalText reads a format.
func (f *idFormat) UnmarshalText(text []byte) error {
	if string(text) != string(formatAuto) {
		if _, err := receipt.ParseIDFormat(string(text)); err != nil {
			return fmt.Errorf("%w, and auto", err)
		}
	}
	*f = idFormat(text)
	return nil
}

func (f idFormat) auto() bool { return f == formatAuto }

// format is Verbatim for auto.
func (f idFormat) format() receipt.IDFormat {
	format, _ := receipt.ParseIDFormat(string(f)) // checked
	return format
}
