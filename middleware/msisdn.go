package middleware

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"switchboard/internal/msisdn"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// MSISDN brings telephone numbers into one shape, whatever the transport or the
// application writes: `082 123 4567`, `0027821234567`, `27821234567` become
// `+27821234567`. A number is read as one of the country's first, then as an
// international one that lacks its plus.
type MSISDN struct {
	// Country is whose national numbers these are: ZA, KE, … (ISO 3166). Without
	// it only international numbers are understood.
	Country string `yaml:"country"`
	// Format is how numbers are written: e164 (+27821234567), digits
	// (27821234567) or national (0821234567; numbers of other countries stay
	// e164).
	Format string `yaml:"format"`
	// Addresses says whose addresses are changed: person (the from_addr of
	// inbound, the to_addr of outbound messages), own (the other one), or both.
	Addresses options.Names `yaml:"addresses"`
	// Flows says which messages: inbound, outbound, or both.
	Flows options.Names `yaml:"flows"`
	// Unparsable says what becomes of a message whose address is no valid
	// telephone number: keep it as it is, discard the message, or fail, which
	// dead-letters it. Either way a nack tells the application of an outbound one.
	Unparsable string `yaml:"unparsable"`
}

var _ worker.Middleware = (*MSISDN)(nil)

// The values of an MSISDN's options.
const (
	formatE164, formatDigits, formatNational          = "e164", "digits", "national"
	addressPerson, addressOwn                         = "person", "own"
	unparsableKeep, unparsableDiscard, unparsableFail = "keep", "discard", "fail"
)

// NewMSISDN makes the middleware with its defaults: the person's address, both
// ways, as E.164; what is no number stays.
func NewMSISDN() *MSISDN {
	return &MSISDN{
		Format: formatE164, Addresses: options.Names{addressPerson}, Unparsable: unparsableKeep,
		Flows: options.Names{string(message.Inbound), string(message.Outbound)},
	}
}

// Validate checks the options.
func (m *MSISDN) Validate() error {
	if err := checkCountry(&m.Country); err != nil {
		return err
	}
	if m.Format == formatNational && m.Country == "" {
		return options.Fieldf("country", "is missing; format national needs it")
	}
	return errors.Join(
		oneOf("format", m.Format, formatE164, formatDigits, formatNational),
		oneOf("unparsable", m.Unparsable, unparsableKeep, unparsableDiscard, unparsableFail),
		someOf("addresses", m.Addresses, addressPerson, addressOwn),
		someOf("flows", m.Flows, string(message.Inbound), string(message.Outbound)),
	)
}

// checkCountry checks a country option and writes it in capitals.
func checkCountry(country *string) error {
	upper, err := msisdn.Country(*country)
	if err != nil {
		return options.Field(err, "country")
	}
	*country = upper
	return nil
}

func oneOf(key, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return options.Fieldf(key, "is %q; write one of %s", value, strings.Join(known, ", "))
}

func someOf(key string, values []string, known ...string) error {
	if len(values) == 0 {
		return options.Fieldf(key, "is empty; write some of %s", strings.Join(known, ", "))
	}
	for _, value := range values {
		if !slices.Contains(known, value) {
			return options.Field(fmt.Errorf("is %q; write one of %s", value, strings.Join(known, ", ")), key, value)
		}
	}
	return nil
}

// Wrap normalises the addresses of messages.
func (m *MSISDN) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if !slices.Contains(m.Flows, string(flow)) {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		person, own := &e.Message.From, &e.Message.To
		if flow == message.Outbound {
			person, own = own, person
		}
		var errs []error
		if slices.Contains(m.Addresses, addressPerson) {
			errs = append(errs, m.normalize(person))
		}
		if slices.Contains(m.Addresses, addressOwn) {
			errs = append(errs, m.normalize(own))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return next(ctx, e)
	}
}

func (m *MSISDN) normalize(address *string) error {
	if *address == "" {
		return nil
	}
	number := msisdn.Parse(*address, m.Country)
	if number != nil {
		*address = m.format(number)
		return nil
	}
	switch m.Unparsable {
	case unparsableDiscard:
		return message.Reject(fmt.Sprintf("%q is no telephone number", *address))
	case unparsableFail:
		return message.Permanent(fmt.Errorf("%q is no telephone number", *address))
	}
	return nil
}

func (m *MSISDN) format(number *phonenumbers.PhoneNumber) string {
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	switch {
	case m.Format == formatDigits:
		return strings.TrimPrefix(e164, "+")
	case m.Format == formatNational && phonenumbers.GetRegionCodeForNumber(number) == m.Country:
		return phonenumbers.NormalizeDigitsOnly(phonenumbers.Format(number, phonenumbers.NATIONAL))
	}
	return e164
}
