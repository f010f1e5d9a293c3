package gsmmodem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
)

// sentKey counts the parts of a message that were sent, so that another try at it goes
// on behind them; reportKey leads from a reference to its message.
const (
	sentKey   = "sent/"
	reportKey = "report/"
	// congestionWait is the wait after the network said that it is congested.
	congestionWait = 5 * time.Second
)

var errUnknown = errors.New("the modem was silent after it was given the message; whether it was sent is unknown")

// send sends the parts of a message. The error is the modem's end; the job's own is its
// result.
func (s *session) send(j *job) error {
	id, err := s.sendParts(j)
	switch {
	case errors.Is(err, errUnknown) && s.UnknownPolicy == policyFail:
		j.done <- result{err: message.Permanent(err)}
		return fmt.Errorf("%w: %w", errSilent, err)
	case errors.Is(err, errUnknown):
		j.done <- result{err: err}
		return fmt.Errorf("%w: %w", errSilent, err)
	case err != nil:
		j.done <- result{err: err}
		if errors.Is(err, errGone) || errors.Is(err, errSilent) {
			return err
		}
		return nil
	}
	j.done <- result{id: id}
	return nil
}

func (s *session) sendParts(j *job) (id string, err error) {
	key := sentKey + j.message.ID
	found, err := s.state.Get(j.ctx, key)
	if err != nil {
		return "", fmt.Errorf("asking which parts were sent: %w", err)
	}
	sent, _ := strconv.Atoi(found[key]) // none when it is not there
	for part := sent; part < len(j.lines); part++ {
		reference, err := s.sendPart(j.ctx, j.lines[part], j.lengths[part])
		if err != nil {
			return "", err
		}
		id = strconv.Itoa(reference)
		entries := []store.Entry{{Key: key, Value: strconv.Itoa(part + 1), TTL: s.ReportExpiry.Std()}}
		if s.DeliveryReports {
			entries = append(entries, s.expect(j.message, reference, len(j.lines)))
		}
		if err := s.note(j.ctx, entries); err != nil {
			s.logger.Warn("remembering that a part was sent failed; its report will find no message", "message_id", j.message.ID, "error", err)
		}
	}
	return id, nil
}

// noteTimeout is how long the state store may take for what was sent.
const noteTimeout = 10 * time.Second

// note remembers what was sent, even when ctx ended meanwhile.
func (s *session) note(ctx context.Context, entries []store.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	return s.state.Set(ctx, entries...)
}

// sendPart sends one short message, and waits while the network is congested.
func (s *session) sendPart(ctx context.Context, line string, length int) (reference int, err error) {
	for {
		reference, err = s.submit(ctx, line, length)
		refused := (*modemError)(nil)
		switch {
		case !errors.As(err, &refused):
			return reference, err
		case refused.kind == "CMS" && refused.code == 42: // the whole network: no try of the message's
			if !backoff.Sleep(ctx, s.congestion()) {
				return 0, ctx.Err()
			}
		case refused.kind == "CMS" && lasting[refused.code]:
			return 0, message.Permanent(err)
		default:
			return 0, err
		}
	}
}

// lasting are the codes of +CMS ERROR that trying again cannot mend.
var lasting = map[int]bool{
	1: true, 8: true, 10: true, 21: true, 28: true, 29: true, 30: true, 50: true, 69: true, 81: true, 95: true, 96: true, 97: true, 98: true, 99: true, 111: true,
	302: true, 303: true, 304: true, 305: true,
}

func (s *session) congestion() time.Duration { return min(congestionWait, s.CommandTimeout.Std()) }

// submit gives one PDU to the modem (3GPP TS 27.005 §4.3).
func (s *session) submit(ctx context.Context, line string, length int) (reference int, err error) {
	s.drain()
	command := "AT+CMGS=" + strconv.Itoa(length)
	if _, err := io.WriteString(s.port, command+"\r"); err != nil {
		return 0, fmt.Errorf("%w: %w", errGone, err)
	}
	if _, err := s.answer(ctx, command, s.CommandTimeout.Std(), true); err != nil {
		return 0, err // nothing was sent
	}
	const endOfPDU = "\x1a"
	if _, err := io.WriteString(s.port, line+endOfPDU); err != nil {
		return 0, fmt.Errorf("%w: %w", errUnknown, err)
	}
	// What is under way is waited for even when ctx ends: the answer tells what became of it.
	lines, err := s.answer(context.WithoutCancel(ctx), line, s.SendTimeout.Std(), false)
	switch {
	case errors.Is(err, errSilent), errors.Is(err, errGone):
		return 0, errUnknown
	case err != nil:
		return 0, err
	}
	reference, err = strconv.Atoi(strings.TrimSpace(strings.SplitN(value(lines, "+CMGS"), ",", 2)[0]))
	if err != nil {
		return 0, message.Permanent(fmt.Errorf("the modem says OK and no +CMGS: the message may have been sent (%q)", lines))
	}
	return reference, nil
}

// expected is a message whose report is waited for.
type expected struct {
	ID       string         `json:"id"`
	Parts    int            `json:"parts"`
	Metadata message.Object `json:"metadata"` // the message's routing metadata
}

// referenceKey is where the message of a reference is: those are few, and soon used
// again, so the number is part of it.
func referenceKey(reference int, to string) string {
	const digits = 9 // of the number: networks write the rest in several ways
	to = strings.TrimPrefix(to, "+")
	return reportKey + strconv.Itoa(reference) + "/" + to[max(0, len(to)-digits):]
}

func (s *session) expect(m *message.Message, reference, parts int) store.Entry {
	text, _ := json.Marshal(expected{m.ID, parts, m.RoutingMetadata}) // texts and JSON
	return store.Entry{Key: referenceKey(reference, m.To), Value: string(text), TTL: s.ReportExpiry.Std()}
}

// statusOf is what TP-ST says (§9.2.3.15).
func statusOf(status byte) message.DeliveryStatus {
	switch {
	case status < 0x20:
		return message.Delivered
	case status < 0x40: // the service centre is still trying
		return message.Pending
	}
	return message.Failed
}

// report publishes a status report. A message of several parts is delivered when all are.
func (s *session) report(ctx context.Context, r *report) error {
	key := referenceKey(int(r.reference), r.to)
	found, err := s.state.Get(ctx, key)
	if err != nil {
		return err
	}
	var of expected
	if json.Unmarshal([]byte(found[key]), &of) != nil {
		s.logger.Warn("a report is of no message that is known", "reference", r.reference, "to", r.to, "status", r.status)
		return nil
	}
	status := statusOf(r.status)
	if status == message.Delivered && of.Parts > 1 {
		parts := "delivered/" + of.ID + "/"
		if err := s.state.Set(ctx, store.Entry{Key: parts + strconv.Itoa(int(r.reference)), Value: "1", TTL: s.ReportExpiry.Std()}); err != nil {
			return err
		}
		if delivered, err := s.state.Range(ctx, parts, parts+"~", of.Parts+1); err != nil || len(delivered) < of.Parts {
			return err
		}
	}
	m := &message.Message{ID: of.ID, RoutingMetadata: of.Metadata}
	e := message.NewDeliveryReport(m, status)
	e.TransportMetadata.Set("tp_status", r.status)
	return s.out.Event(ctx, e)
}
