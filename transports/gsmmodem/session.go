package gsmmodem

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/partstate"
	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/transports"
)

// job is a message to be sent.
type job struct {
	ctx     context.Context
	message *message.Message
	lines   []string // a PDU for each part
	lengths []int
	done    chan result // buffered
}

type result struct {
	id  string
	err error
}

// session is one conversation with the modem, from the opening of the port on. All but
// jobs and ended belong to the goroutine that works it.
type session struct {
	*Transport
	*conversation
	statuses *transports.Statuses
	out      transports.Publisher
	parts    *smpp.Assembler
	jobs     chan *job
	ended    chan struct{}
	fresh    bool        // the modem said that there is something new in its memory
	again    *time.Timer // when what could not be received is looked at again
	reports  []string
}

// againWait is the wait before a message that the broker did not take is received again.
const againWait = time.Second

func newSession(ctx context.Context, t *Transport, port io.ReadWriteCloser, out transports.Publisher, statuses *transports.Statuses) *session {
	s := &session{Transport: t, statuses: statuses, out: out, jobs: make(chan *job), ended: make(chan struct{}), again: time.NewTimer(againWait)}
	s.conversation = converse(port, s.hear)
	s.parts = smpp.NewAssembler(smpp.AssemblerSettings{
		State: partstate.New(t.state), Prefix: "concat/", Wait: t.ReassemblyTTL.Std(), NewID: message.NewID, Logger: t.logger,
		Receive: func(_ context.Context, m *smpp.Assembled, _ ...smpp.Entry) error { return s.receive(ctx, m) },
	})
	return s
}

func (s *session) close() {
	close(s.ended)
	_ = s.port.Close()
	for range s.lines { // until the reader has ended
	}
	for {
		select {
		case j := <-s.jobs:
			j.done <- result{err: errGone}
		default:
			return
		}
	}
}

// hear takes what the modem says by itself.
func (s *session) hear(line string) {
	switch {
	case strings.HasPrefix(line, "+CMTI:"), strings.HasPrefix(line, "+CDSI:"):
		s.fresh = true
	case strings.HasPrefix(line, "+CDS:"), strings.HasPrefix(line, "+CMT:"):
		s.next = func(pdu string) { s.reports = append(s.reports, pdu) }
	case strings.Contains(line, "CPIN"): // an echo of the PIN that came late
	default:
		s.logger.Debug("the modem says", "line", line)
	}
}

// lockedError is a SIM card that wants a PIN or PUK that there is none of.
type lockedError struct{ error }

// try asks, and is content with any answer: not all modems know all commands.
func (s *session) try(ctx context.Context, command string) error {
	_, err := s.ask(ctx, command, s.CommandTimeout.Std())
	if refused := (*modemError)(nil); errors.As(err, &refused) {
		return nil
	}
	return err
}

// begin makes the modem ready.
func (s *session) begin(ctx context.Context) error {
	if err := s.wake(ctx); err != nil {
		return err
	}
	for _, command := range []string{"ATE0", "AT+CMEE=1"} {
		if err := s.try(ctx, command); err != nil {
			return err
		}
	}
	if err := s.unlock(ctx); err != nil {
		return err
	}
	if _, err := s.ask(ctx, "AT+CMGF=0", s.CommandTimeout.Std()); err != nil {
		return fmt.Errorf("choosing PDU mode: %w", err)
	}
	if s.ServiceCentre != "" {
		if _, err := s.ask(ctx, `AT+CSCA="`+s.ServiceCentre+`"`, s.CommandTimeout.Std()); err != nil {
			return fmt.Errorf("setting service_centre: %w", err)
		}
	}
	// New messages are kept in the modem's memory, so that they are safe until the broker
	// has them; reports too, where it can.
	for _, command := range []string{"AT+CNMI=2,1,0,2,0", "AT+CNMI=2,1,0,1,0", "AT+CNMI=2,1,0,0,0", "AT+CNMI=1,1,0,1,0"} {
		_, err := s.ask(ctx, command, s.CommandTimeout.Std())
		if refused := (*modemError)(nil); !errors.As(err, &refused) {
			return err
		}
	}
	s.logger.Warn("the modem does not say when messages come; they are looked for", "every", s.LookEvery.Std())
	return nil
}

// wakeTries is how often a modem is spoken to before it counts as hung.
const wakeTries = 3

// wake ends what the modem may be in the middle of, and waits until it answers.
func (s *session) wake(ctx context.Context) (err error) {
	const escape = "\x1b"
	for range wakeTries {
		if _, err := io.WriteString(s.port, escape+"\r"); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if _, err = s.ask(ctx, "AT", min(s.CommandTimeout.Std(), 2*time.Second)); !errors.Is(err, errSilent) {
			return err
		}
	}
	return err
}

// pinKey holds which PIN the SIM refused.
const pinKey = "pin_refused"

// unlock gives the SIM its PIN, at most once.
func (s *session) unlock(ctx context.Context) error {
	lines, err := s.ask(ctx, "AT+CPIN?", s.CommandTimeout.Std())
	if err != nil {
		return fmt.Errorf("asking for the SIM card: %w", err)
	}
	switch want := value(lines, "+CPIN"); {
	case want == "READY": // it has all of its tries
		return s.state.Delete(ctx, pinKey)
	case want == "": // the answer to something else
		return fmt.Errorf("%w when it is asked for the SIM card", errSilent)
	case want != "SIM PIN":
		return &lockedError{fmt.Errorf("it wants %s, which nobody may guess: put it into a phone", want)}
	case s.PIN == "":
		return &lockedError{errors.New("it wants a PIN; set pin")}
	}
	sum := sha256.Sum256([]byte(s.PIN.Reveal()))
	mark := hex.EncodeToString(sum[:8])
	refused, err := s.state.Get(ctx, pinKey)
	if err != nil {
		return fmt.Errorf("asking whether the PIN was refused before: %w", err)
	}
	if refused[pinKey] == mark {
		return &lockedError{errors.New("it refused this PIN before; set pin to the right one")}
	}
	// Until it is accepted, it counts as refused: whatever happens, it is not tried again.
	if err := s.state.Set(ctx, store.Entry{Key: pinKey, Value: mark}); err != nil {
		return fmt.Errorf("noting that the PIN is tried: %w", err)
	}
	if _, err := s.ask(ctx, `AT+CPIN="`+s.PIN.Reveal()+`"`, s.CommandTimeout.Std()); err != nil {
		return &lockedError{fmt.Errorf("it refused the PIN (%w)", err)}
	}
	return s.awaitReady(ctx)
}

// readyTries is how often the SIM is asked whether it is ready, each second.
const readyTries = 20

func (s *session) awaitReady(ctx context.Context) error {
	for range readyTries {
		lines, err := s.ask(ctx, "AT+CPIN?", s.CommandTimeout.Std())
		if err == nil && value(lines, "+CPIN") == "READY" {
			return s.state.Delete(ctx, pinKey)
		}
		if !backoff.Sleep(ctx, time.Second) {
			return ctx.Err()
		}
	}
	return errors.New("the SIM card took its PIN and is not ready")
}

// work sends and receives until ctx ends or the modem fails.
func (s *session) work(ctx context.Context) error {
	look := time.NewTicker(s.LookEvery.Std())
	defer look.Stop()
	defer s.again.Stop()
	if err := s.lookAround(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := s.receiveAll(ctx); err != nil {
			return err
		}
		select {
		case j := <-s.jobs:
			err := s.send(j)
			if err != nil {
				return err
			}
		case line, open := <-s.lines:
			if !open {
				return errGone
			}
			s.listen(line)
		case <-s.again.C:
			s.fresh = true
		case <-look.C:
			s.parts.Sweep(ctx, time.Now())
			if err := s.lookAround(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
		}
	}
	return nil
}

// receiveAll takes what the modem said by itself, and what is new in its memory.
func (s *session) receiveAll(ctx context.Context) error {
	for len(s.reports) > 0 {
		line := s.reports[0]
		if err := s.take(ctx, line); err != nil {
			s.logger.Warn("receiving failed; it is tried again", "error", err)
			if !backoff.Sleep(ctx, time.Second) {
				return nil
			}
			continue
		}
		s.reports = s.reports[1:]
	}
	for s.fresh { // also by what came meanwhile
		s.fresh = false
		if err := s.empty(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lookAround looks at the memory, in case the modem said nothing, and tells how it is.
func (s *session) lookAround(ctx context.Context) error {
	if err := s.empty(ctx); err != nil {
		return err
	}
	operator, registration, signal := "", "", ""
	for _, q := range []struct {
		command, name string
		into          *string
	}{{"AT+COPS?", "+COPS", &operator}, {"AT+CREG?", "+CREG", &registration}, {"AT+CSQ", "+CSQ", &signal}} {
		lines, err := s.ask(ctx, q.command, s.CommandTimeout.Std())
		if refused := (*modemError)(nil); err != nil && !errors.As(err, &refused) {
			return err
		}
		*q.into = value(lines, q.name)
	}
	health, kind, text := describe(operator, registration, signal)
	s.statuses.Tell(component, health, kind, text)
	return nil
}

// describe says how the modem is by +COPS, +CREG and +CSQ (3GPP TS 27.007 §7.3, §7.2,
// §8.5).
func describe(operator, registration, signal string) (health message.Health, kind, text string) {
	name := "an operator without a name"
	if fields := strings.Split(operator, ","); len(fields) > 2 {
		name = strings.Trim(fields[2], `" `)
	}
	level, _, _ := strings.Cut(signal, ",")
	rssi, err := strconv.Atoi(strings.TrimSpace(level))
	words := "a signal of unknown strength"
	if err == nil && rssi <= 31 {
		words = fmt.Sprintf("signal %d of 5 (%d dBm)", (rssi+5)/7, -113+2*rssi/4*4) // coarse: not every change is news
	}
	_, state, _ := strings.Cut(registration, ",")
	switch state = strings.TrimSpace(strings.SplitN(state, ",", 2)[0]); {
	case state == "0" || state == "2":
		return message.Down, "not_registered", "The modem has no network (" + words + ")."
	case state == "3":
		return message.Down, "registration_denied", "The network refuses the SIM card."
	case err == nil && rssi < 3:
		return message.Degraded, "weak_signal", "The modem is with " + name + ", " + words + "."
	}
	return message.OK, "registered", "The modem is with " + name + ", " + words + "."
}

// empty takes all that is in the modem's memory, and deletes it: a full one takes no
// more.
func (s *session) empty(ctx context.Context) error {
	lines, err := s.ask(ctx, "AT+CMGL=4", s.SendTimeout.Std())
	if refused := (*modemError)(nil); errors.As(err, &refused) {
		s.logger.Warn("the modem's memory cannot be read", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	for i, line := range lines {
		head, found := strings.CutPrefix(line, "+CMGL:")
		if !found {
			continue
		}
		index, _, _ := strings.Cut(strings.TrimSpace(head), ",")
		pdu, err := s.wholePDU(ctx, index, lines[i:])
		if refused := (*modemError)(nil); errors.As(err, &refused) {
			s.logger.Warn("reading a message again failed; it stays in the modem's memory until the next look", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := s.take(ctx, pdu); err != nil {
			// It stays in the memory, and is looked at again.
			s.logger.Warn("receiving a message failed; it stays in the modem's memory", "error", err)
			s.again.Reset(againWait)
			continue
		}
		if _, err := s.ask(ctx, "AT+CMGD="+index, s.CommandTimeout.Std()); err != nil {
			return fmt.Errorf("deleting a message from the modem's memory: %w", err)
		}
	}
	return nil
}

// wholePDU is the PDU in an answer that begins with its head. One that noise on the line
// has spoilt is read once more.
func (s *session) wholePDU(ctx context.Context, index string, answer []string) (string, error) {
	if pdu := findPDU(answer); pdu != "" {
		return pdu, nil
	}
	lines, err := s.ask(ctx, "AT+CMGR="+index, s.CommandTimeout.Std())
	if err != nil {
		return "", err
	}
	if pdu := findPDU(lines); pdu != "" {
		return pdu, nil
	}
	return strings.Join(lines, " "), nil // it is none: whoever takes it says so
}

// findPDU finds the PDU of the length that the head, the first line, says: "" when there
// is none before the next head.
func findPDU(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	length, err := strconv.Atoi(strings.TrimSpace(lines[0][strings.LastIndexByte(lines[0], ',')+1:]))
	if err != nil {
		return ""
	}
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, "+CMG") {
			return ""
		}
		octets, err := hex.DecodeString(line)
		if err == nil && len(octets) > 0 && len(octets) == 1+int(octets[0])+length {
			return line
		}
	}
	return ""
}

// takeTimeout is how long the broker may take for one message: the modem waits.
const takeTimeout = 30 * time.Second

// take publishes what a PDU says. What is no message is logged and done with.
func (s *session) take(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	in, err := parseTPDU(line)
	switch {
	case err != nil:
		s.logger.Error("the modem has a message that cannot be read; it is deleted", "pdu", line, "error", err)
		return nil
	case in.report != nil:
		return s.report(ctx, in.report)
	}
	m := in.message
	m.Dest = pdu.Address{Addr: s.Number}
	if smpp.PartOf(m).Multipart() {
		_, err := s.parts.Add(ctx, m.Source.Addr, &pdu.DeliverSM{Message: *m}, nil)
		return err
	}
	sum := sha256.Sum256([]byte(line)) // with the time in it: the same one is the same message
	return s.publish(ctx, hex.EncodeToString(sum[:16]), []smpp.Part{smpp.PartOf(m)}, nil)
}

// receive publishes a long message, of which parts may be missing.
func (s *session) receive(ctx context.Context, m *smpp.Assembled) error {
	return s.publish(ctx, m.ID, m.Plain(), m.Missing)
}

func (s *session) publish(ctx context.Context, id string, parts []smpp.Part, missing []int) error {
	first := parts[0].Message
	m := message.New()
	m.ID, m.From, m.To, m.TransportType = id, smpp.FormatAddress(first.Source), s.Number, s.TransportType
	text, err := smpp.Codings(nil).Text(parts)
	if err != nil {
		s.logger.Warn("a message has octets that are no text", "from", m.From, "error", err)
		m.TransportMetadata.Set("octets", hex.EncodeToString(smpp.Octets(parts)))
	}
	m.Content = text
	if missing != nil {
		m.TransportMetadata.Set("missing_parts", missing)
	}
	key := "received/" + id
	if found, err := s.state.Get(ctx, key); err == nil && found[key] != "" {
		return nil // it was published, and could not be deleted
	}
	if err := s.out.Inbound(ctx, m); err != nil {
		return err
	}
	if err := s.state.Set(ctx, store.Entry{Key: key, Value: "1", TTL: rememberReceived}); err != nil {
		s.logger.Debug("remembering what was received failed", "error", err)
	}
	return nil
}

// rememberReceived is how long a message that stays in the memory is known again.
const rememberReceived = 24 * time.Hour

// reset brings a modem back that does not answer any more.
func (s *session) reset(ctx context.Context, why error) {
	if ctx.Err() != nil || !errors.Is(why, errSilent) {
		return
	}
	s.logger.Log(ctx, slog.LevelWarn, "the modem does not answer; resetting it")
	_, _ = s.ask(ctx, "AT+CFUN=1,1", s.CommandTimeout.Std())
}
