package smpp

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

// MaxShortMessage is the most octets short_message has (§5.2.22).
const MaxShortMessage = 254

// Codings are what data_coding values mean to one peer, where that is not what
// §5.2.19 says.
type Codings map[pdu.DataCoding]gsm.Coding

// ParseCodings reads names of codings by data_coding, a number from 0 to 255 in
// Go's notation. With an error it returns the number that is wrong.
func ParseCodings(names map[string]string) (codings Codings, wrong string, err error) {
	codings = Codings{}
	for number, name := range names {
		n, err := strconv.ParseUint(number, 0, 8)
		if err != nil {
			return nil, number, fmt.Errorf("%q is no data_coding: a number from 0 to 255", number)
		}
		if codings[pdu.DataCoding(n)], err = gsm.ParseCoding(name); err != nil {
			return nil, number, err
		}
	}
	return codings, "", nil
}

// ussdUnspecified is the data coding scheme of a USSD step in the default
// alphabet, its language not said (3GPP TS 23.038 §5). In other messages the
// value means nothing of that kind.
const ussdUnspecified = 0x0F

// Of returns how a message with these tables is written.
func (c Codings) Of(m *pdu.Message, shift gsm.Shift) gsm.Encoding {
	coding, known := c[m.DataCoding]
	if !known {
		coding = gsm.FromDataCoding(uint8(m.DataCoding))
		if _, step := m.TLVs.Get(pdu.TagUSSDServiceOp); step && m.DataCoding == ussdUnspecified {
			coding = gsm.GSM7
		}
	}
	return gsm.Encoding{Coding: coding, Shift: shift}
}

// Text returns the text of parts in their order, each by its own coding.
// Neighbours of one coding are decoded together, for senders that cut within a
// character. The error is the first of gsm.Encoding.Decode's.
func (c Codings) Text(parts []Part) (string, error) {
	var text strings.Builder
	var problem error
	for start := 0; start < len(parts); {
		encoding := c.Of(parts[start].Message, parts[start].Header.Shift())
		var run []gsm.Part
		for _, p := range parts[start:] {
			if c.Of(p.Message, p.Header.Shift()) != encoding {
				break
			}
			run = append(run, p.Part)
		}
		some, err := decodeRun(encoding, run)
		text.WriteString(some)
		if problem == nil {
			problem = err
		}
		start += len(run)
	}
	return text.String(), problem
}

// decodeRun decodes parts of one coding. A byte order mark of UCS2 is no text, and
// says the order of its octets.
func decodeRun(encoding gsm.Encoding, run []gsm.Part) (string, error) {
	const byteOrderMark = "\uFEFF"
	if encoding.Coding == gsm.UCS2 && bytes.HasPrefix(run[0].Payload, []byte{0xFF, 0xFE}) {
		encoding.Coding = gsm.UCS2LE
	}
	text, err := encoding.DecodeParts(run)
	if encoding.Coding == gsm.UCS2 || encoding.Coding == gsm.UCS2LE {
		text = strings.ReplaceAll(text, byteOrderMark, "")
	}
	return text, err
}

// Part is a message that may be one of several a longer one came in.
type Part struct {
	gsm.Part
	Header  gsm.Header // the user data header, nil where there is none that can be read
	Message *pdu.Message
}

// PartOf reads which part of a longer message a message is, from its user data
// header or from the sar_ parameters. One that is no part is part 1 of 1.
func PartOf(m *pdu.Message) Part {
	p := Part{Message: m, Part: gsm.Part{Total: 1, Seq: 1, Payload: m.Payload()}}
	if m.ESMClass.UDHI() {
		if read, h, err := gsm.ParsePart(p.Payload); err == nil {
			p.Part, p.Header = read, h
		}
	}
	if p.Multipart() {
		return p
	}
	reference, ok := m.TLVs.Uint(pdu.TagSarMsgRefNum)
	total, _ := m.TLVs.Uint(pdu.TagSarTotalSegments)
	seq, _ := m.TLVs.Uint(pdu.TagSarSegmentSeqnum)
	if sar, valid := gsm.SARPart(uint16(reference), uint8(total), uint8(seq), p.Payload); ok && valid {
		sar.HeaderLength = p.HeaderLength
		p.Part = sar
	}
	return p
}

// Octets returns the parts' octets, one part's after the other's.
func Octets(parts []Part) (all []byte) {
	for _, p := range parts {
		all = append(all, p.Payload...)
	}
	return all
}

// MessageOf returns what submit_sm, submit_multi, deliver_sm and data_sm have in
// common; nil for other bodies.
func MessageOf(body pdu.Body) *pdu.Message {
	switch b := body.(type) {
	case *pdu.SubmitSM:
		return &b.Message
	case *pdu.SubmitMulti:
		return &b.Message
	case *pdu.DeliverSM:
		return &b.Message
	case *pdu.DataSM:
		return &pdu.Message{
			ServiceType: b.ServiceType, Source: b.Source, Dest: b.Dest, ESMClass: b.ESMClass,
			RegisteredDelivery: b.RegisteredDelivery, DataCoding: b.DataCoding, TLVs: b.TLVs,
		}
	}
	return nil
}

// Segment returns the i-th segment of a text: base with the segment's octets, in
// short_message where there are at most inline of them, else in message_payload.
func Segment(base pdu.Message, text *gsm.Message, i, inline int) pdu.Message {
	seg := text.Segments[i]
	base.TLVs = slices.Clone(base.TLVs)
	if len(seg.Header) > 0 {
		base.ESMClass |= pdu.ESMUDHI
	}
	SetPayload(&base, seg.Octets(), inline)
	if seg.Multipart() && (text.Method == gsm.SAR || text.Method == gsm.SAR16) {
		base.TLVs = append(base.TLVs, pdu.Short(pdu.TagSarMsgRefNum, seg.Reference),
			pdu.Byte(pdu.TagSarTotalSegments, seg.Total), pdu.Byte(pdu.TagSarSegmentSeqnum, seg.Seq))
	}
	return base
}

// SetPayload gives a message its octets, in short_message where there are at most
// inline of them, else in message_payload.
func SetPayload(m *pdu.Message, octets []byte, inline int) {
	if len(octets) <= inline {
		m.ShortMessage = octets
		return
	}
	m.TLVs = append(m.TLVs, pdu.TLV{Tag: pdu.TagMessagePayload, Value: octets})
}
