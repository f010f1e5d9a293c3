// Package gsmmodem is a transport that sends and receives SMS by a modem on a serial
// port: a SIM card of one's own, and no contract with anybody. Section numbers (§) are
// those of 3GPP TS 23.040.
package gsmmodem

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.bug.st/serial"

	"switchboard/internal/backoff"
	"switchboard/internal/current"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/transports"
)

// Transport is a modem. Its fields are its options.
type Transport struct {
	// TransportName is the transport's connector; the worker's name when empty.
	TransportName string `yaml:"transport_name"`
	// Device is the modem's serial port. Example: /dev/ttyUSB0, or COM3.
	Device string `yaml:"device"`
	// Baud is the port's speed; USB modems take any.
	Baud int `yaml:"baud"`
	// PIN is the SIM card's. One that the SIM refuses is never tried again, so that the
	// SIM is not locked.
	PIN options.Secret `yaml:"pin"`
	// Number is the SIM card's own number: people's messages are to it. Example: "+27831234567".
	Number string `yaml:"number"`
	// ServiceCentre is the number of the operator's message centre; default the SIM's.
	ServiceCentre string `yaml:"service_centre"`
	// TransportType is the messages' transport_type.
	TransportType string `yaml:"transport_type"`
	// DeliveryReports asks the network for reports.
	DeliveryReports bool `yaml:"delivery_reports"`
	// UnknownPolicy says what becomes of a message after which the modem was silent: fail
	// (it may have been sent, and is not sent again) or resend.
	UnknownPolicy string `yaml:"unknown_policy"`
	// SendTimeout is how long the network may take to accept a message.
	SendTimeout options.Duration `yaml:"send_timeout"`
	// CommandTimeout is how long the modem may take to answer anything else. One that does
	// not is reset.
	CommandTimeout options.Duration `yaml:"command_timeout"`
	// LookEvery is how often the memory, the signal and the operator are looked at.
	LookEvery options.Duration `yaml:"look_every"`
	// ReassemblyTTL is how long the parts of a long message wait for each other.
	ReassemblyTTL options.Duration `yaml:"reassembly_ttl"`
	// ReportExpiry is how long a report of a message is waited for.
	ReportExpiry options.Duration `yaml:"report_expiry"`

	logger  *slog.Logger
	state   store.State
	open    func() (io.ReadWriteCloser, error)
	restart backoff.Backoff
	session current.Value[*session]
}

var _ transports.Transport = (*Transport)(nil)

const (
	policyFail   = "fail"
	policyResend = "resend"
)

// New makes a transport with its defaults.
func New() *Transport {
	t := &Transport{
		Baud: 115200, TransportType: "sms", DeliveryReports: true, UnknownPolicy: policyFail,
		SendTimeout: options.Duration(time.Minute), CommandTimeout: options.Duration(10 * time.Second), LookEvery: options.Duration(30 * time.Second),
		ReassemblyTTL: options.Duration(time.Hour), ReportExpiry: options.Duration(4 * 24 * time.Hour),
		logger: slog.New(slog.DiscardHandler), restart: backoff.Backoff{Min: time.Second, Max: time.Minute},
	}
	t.open = t.openPort
	return t
}

// Validate checks the options.
func (t *Transport) Validate() error {
	var errs []error
	if t.Device == "" {
		errs = append(errs, options.Fieldf("device", "is missing: the modem's serial port, such as /dev/ttyUSB0"))
	}
	if t.Number == "" {
		errs = append(errs, options.Fieldf("number", "is missing: the SIM card's own number; replies come from it"))
	}
	if pin := t.PIN.Reveal(); pin != "" && (len(pin) < 4 || len(pin) > 8 || strings.Trim(pin, "0123456789") != "") {
		errs = append(errs, options.Fieldf("pin", "must be four to eight digits"))
	}
	if t.ServiceCentre != "" {
		if _, err := encodeAddress(t.ServiceCentre); err != nil {
			errs = append(errs, options.Field(err, "service_centre"))
		}
	}
	if t.UnknownPolicy != policyFail && t.UnknownPolicy != policyResend {
		errs = append(errs, options.Fieldf("unknown_policy", "is %q; write fail or resend", t.UnknownPolicy))
	}
	return errors.Join(append(errs, options.Positive("baud", t.Baud),
		options.Positive("send_timeout", t.SendTimeout), options.Positive("command_timeout", t.CommandTimeout), options.Positive("look_every", t.LookEvery),
		options.Positive("reassembly_ttl", t.ReassemblyTTL), options.Positive("report_expiry", t.ReportExpiry))...)
}

// Provision takes the logger and the state store.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("the GSM modem needs a state store; set DATABASE_URL"))
	}
	if t.TransportName == "" {
		t.TransportName = env.Name
	}
	t.logger, t.state = env.Logger, env.State
	return nil
}

func (t *Transport) openPort() (io.ReadWriteCloser, error) {
	port, err := serial.Open(t.Device, &serial.Mode{BaudRate: t.Baud})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w; is the modem plugged in, and may this user use it?", t.Device, err)
	}
	return port, nil
}

// component is the transport's only one in its status events.
const component = "modem"

// Run speaks with the modem until ctx ends. A modem that fails is opened again.
func (t *Transport) Run(ctx context.Context, out transports.Publisher) error {
	statuses := transports.NewStatuses(out, t.logger)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { statuses.Run(background) })
	defer func() {
		stop()
		helpers.Wait()
	}()
	statuses.Tell(component, message.Down, "starting", "The modem is starting.")
	restart := t.restart
	for {
		began := time.Now()
		err := t.serve(ctx, out, statuses)
		if ctx.Err() != nil {
			return nil
		}
		if locked := (*lockedError)(nil); errors.As(err, &locked) {
			// Another try would bring the SIM nearer to its end.
			statuses.Tell(component, message.Down, "sim_locked", "The SIM card is locked.", locked.Error())
			t.logger.Error("the SIM card is locked; nothing is tried until the worker is started with another pin", "error", locked)
			<-ctx.Done()
			return nil
		}
		statuses.Tell(component, message.Down, "failed", "The modem fails, and is started again.", err.Error())
		if time.Since(began) > time.Minute {
			restart.Reset()
		}
		wait := restart.Next()
		t.logger.Warn("the modem failed; starting it again", "device", t.Device, "error", err, "in", wait)
		if !backoff.Sleep(ctx, wait) {
			return nil
		}
	}
}

// serve works one session with the modem.
func (t *Transport) serve(ctx context.Context, out transports.Publisher, statuses *transports.Statuses) error {
	port, err := t.open()
	if err != nil {
		return err
	}
	s := newSession(ctx, t, port, out, statuses)
	defer s.close()
	if err := s.begin(ctx); err != nil {
		s.reset(ctx, err)
		return err
	}
	t.session.Set(s)
	defer t.session.Clear()
	err = s.work(ctx)
	s.reset(ctx, err)
	return err
}

// Send sends a message in as many parts as it takes, and returns the network's
// reference of the last.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	reference := fnv.New32a()
	_, _ = reference.Write([]byte(m.ID)) // never fails
	lines, lengths, err := submits(m.To, m.Content, uint16(reference.Sum32()), t.DeliveryReports)
	if err != nil {
		return "", message.Permanent(err)
	}
	s, err := t.session.Get(ctx)
	if err != nil {
		return "", err
	}
	j := &job{ctx: ctx, message: m, lines: lines, lengths: lengths, done: make(chan result, 1)}
	select {
	case s.jobs <- j:
	case <-s.ended:
		return "", errGone // it is tried again
	case <-ctx.Done():
		return "", ctx.Err()
	}
	r := <-j.done // ctx ends it too
	return r.id, r.err
}
