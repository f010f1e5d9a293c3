package gsmmodem

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

// The short messages of 3GPP TS 23.040 §9.2.2, as modems write them in hex, each behind
// the address of the service centre.

const (
	typeMask         = 0x03
	typeDeliver      = 0x00
	typeSubmit       = 0x01
	typeStatusReport = 0x02
	flagValidity     = 0x10 // a relative validity period
	flagReport       = 0x20 // a status report is wanted
	flagUDHI         = 0x40 // a user data header is there

	internationalNumber = 0x91
	unknownNumber       = 0x81
	alphanumeric        = 5 // type of number
	// validity is four days (§9.2.3.12.1).
	validity = 0xAA
)

var errCutOff = errors.New("the PDU is cut off")

// reader takes octets from the front; at its end all are 0, and err is set.
type reader struct {
	left []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if n > len(r.left) {
		r.err = errCutOff
		n = len(r.left)
	}
	taken := r.left[:n]
	r.left = r.left[n:]
	return taken
}

func (r *reader) octet() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// address is an address field (§9.1.2.5).
func (r *reader) address() pdu.Address {
	digits := int(r.octet())
	kind := r.octet()
	octets := r.take((digits + 1) / 2)
	a := pdu.Address{TON: pdu.TON(kind >> 4 & 7), NPI: pdu.NPI(kind & 0xF)}
	if a.TON == alphanumeric {
		text, _ := gsm.Encoding{Coding: gsm.GSM7}.Decode(gsm.Unpack(octets, digits*4/7, 0), 0) // what has no meaning is replaced
		a.Addr = text
		return a
	}
	a.Addr = semiOctets(octets)
	a.Addr = a.Addr[:min(digits, len(a.Addr))]
	return a
}

const digitSigns = "0123456789*#abc"

// semiOctets are digits, the lower half of each octet first.
func semiOctets(octets []byte) string {
	var b strings.Builder
	for _, o := range octets {
		for _, half := range [...]byte{o & 0xF, o >> 4} {
			if int(half) < len(digitSigns) {
				b.WriteByte(digitSigns[half])
			}
		}
	}
	return b.String()
}

// incoming is what a modem received: a short message, or a report of one that was sent.
type incoming struct {
	message *pdu.Message
	report  *report
}

// report is a status report.
type report struct {
	reference byte
	to        string // the digits of the recipient
	status    byte   // TP-ST
}

// parseTPDU reads a line of hex.
func parseTPDU(line string) (*incoming, error) {
	octets, err := hex.DecodeString(strings.TrimSpace(line))
	if err != nil {
		return nil, fmt.Errorf("the PDU is no hex: %w", err)
	}
	r := &reader{left: octets}
	r.take(int(r.octet())) // the service centre
	first := r.octet()
	in := new(incoming)
	switch first & typeMask {
	case typeDeliver:
		in.message = r.deliver(first)
	case typeStatusReport:
		in.report = &report{reference: r.octet(), to: r.address().Addr}
		r.take(14) // when it was sent, and when it was over
		in.report.status = r.octet()
	default:
		return nil, fmt.Errorf("the PDU is of type %d, neither a message nor a report", first&typeMask)
	}
	return in, r.err
}

// deliver reads an SMS-DELIVER (§9.2.2.1) as a deliver_sm: septets are one an octet.
func (r *reader) deliver(first byte) *pdu.Message {
	m := &pdu.Message{Source: r.address(), ProtocolID: r.octet(), DataCoding: pdu.DataCoding(r.octet())}
	r.take(7) // when the service centre had it
	length, data := int(r.octet()), r.left
	header := 0
	if first&flagUDHI != 0 {
		m.ESMClass |= pdu.ESMClass(flagUDHI)
		if len(data) > 0 {
			header = min(int(data[0])+1, len(data))
		}
	}
	if coding := gsm.FromDataCoding(uint8(m.DataCoding)); coding != gsm.GSM7 {
		m.ShortMessage = r.take(length)
		return m
	}
	septets := length - (header*8+6)/7
	text := gsm.Unpack(data[header:], max(septets, 0), header)
	if len(text) != septets {
		r.err = errCutOff
	}
	m.ShortMessage = append(append([]byte(nil), data[:header]...), text...)
	return m
}

// submits are the SMS-SUBMITs of a text (§9.2.2.2) as hex, and their lengths without the
// service centre, as AT+CMGS wants them.
func submits(to, text string, reference uint16, wantReports bool) (lines []string, lengths []int, err error) {
	address, err := encodeAddress(to)
	if err != nil {
		return nil, nil, err
	}
	m, err := gsm.Splitter{}.Text(text, reference)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range m.Segments {
		first := byte(typeSubmit | flagValidity)
		if wantReports {
			first |= flagReport
		}
		if len(s.Header) > 0 {
			first |= flagUDHI
		}
		octets := append([]byte{first, 0}, address...)
		octets = append(octets, 0, m.Encoding.Coding.DataCoding(), validity)
		if m.Encoding.Coding == gsm.GSM7 {
			octets = append(octets, byte((len(s.Header)*8+6)/7+len(s.Payload)))
			octets = append(append(octets, s.Header...), gsm.AppendPacked(nil, s.Payload, len(s.Header))...)
		} else {
			octets = append(octets, byte(len(s.Header)+len(s.Payload)))
			octets = append(append(octets, s.Header...), s.Payload...)
		}
		lines = append(lines, "00"+strings.ToUpper(hex.EncodeToString(octets)))
		lengths = append(lengths, len(octets))
	}
	return lines, lengths, nil
}

// maxDigits is how long a number may be (§9.1.2.5).
const maxDigits = 20

func encodeAddress(to string) ([]byte, error) {
	digits, international := strings.CutPrefix(to, "+")
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789*#") != "" {
		return nil, fmt.Errorf("%q is no telephone number; a modem sends to numbers such as +27831234567", to)
	}
	kind := byte(unknownNumber)
	if international {
		kind = internationalNumber
	}
	octets := []byte{byte(len(digits)), kind}
	for i := 0; i < len(digits); i += 2 {
		high := byte(0xF)
		if i+1 < len(digits) {
			high = byte(strings.IndexByte(digitSigns, digits[i+1]))
		}
		octets = append(octets, high<<4|byte(strings.IndexByte(digitSigns, digits[i])))
	}
	return octets, nil
}
