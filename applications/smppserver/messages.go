package smppserver

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"switchboard/message"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// receivedKey is where the SMPP transport says, in transport_metadata, what a
// message from a person had beside its text.
const receivedKey = "deliver_sm"

// seenTTL is how long a message is known again that the broker delivers twice.
const seenTTL = time.Hour

// takeMessage keeps a person's message for its customer.
func (e *engine) takeMessage(ctx context.Context, m *message.Message) error {
	c := e.owner(m.To)
	if c == nil {
		return message.Permanent(fmt.Errorf("no customer has the address %q the message was sent to; give it to one in addresses", m.To))
	}
	seen := e.prefix + "seen/" + m.ID
	found, err := e.state.Get(ctx, seen)
	if err != nil {
		return fmt.Errorf("asking whether message %s came before: %w", m.ID, err)
	}
	if _, before := found[seen]; before {
		return nil
	}
	letters, err := c.letters(m)
	if err != nil {
		return message.Permanent(fmt.Errorf("writing the message for customer %s: %w", c.systemID, err))
	}
	return c.box.deposit(ctx, letters, store.Entry{Key: seen, Value: c.systemID, TTL: seenTTL})
}

// owner is the first customer in the file who has an address.
func (e *engine) owner(addr string) *customer {
	for _, c := range e.inOrder {
		if c.owned.has(addr) {
			return c
		}
	}
	return nil
}

// letters are the deliver_sm a message becomes.
func (c *customer) letters(m *message.Message) (list []letter, err error) {
	had := m.TransportMetadata.Object(receivedKey)
	base := pdu.Message{Source: toSMPP(m.From), Dest: toSMPP(m.To), ServiceType: cut(had.Text("service_type"), maxServiceType)}
	_ = had.Decode("protocol_id", &base.ProtocolID)
	_ = had.Decode("priority", &base.Priority)
	if m.TransportType == typeUSSD {
		base.TLVs = sessionParameters(m, &had)
	}
	if payload := had.Text("payload"); payload != "" {
		return c.data(m, base, &had, payload)
	}
	splitter := gsm.Splitter{Codings: []gsm.Coding{c.codes, gsm.UCS2}, Method: c.cutting}
	text, err := splitter.Text(m.Content, c.reference())
	if err != nil {
		return nil, err
	}
	if text.Coding != c.codes {
		base.DataCoding = pdu.DataCoding(text.Coding.DataCoding())
	}
	return segments(m.ID, base, &text), nil
}

// maxServiceType is the most characters service_type has (§5.2.11).
const maxServiceType = 5

// data is a message that is no text.
func (c *customer) data(m *message.Message, base pdu.Message, had *message.Object, payload string) ([]letter, error) {
	octets, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		return nil, fmt.Errorf("reading transport_metadata's payload: %w", err)
	}
	var class pdu.ESMClass
	_ = had.Decode("data_coding", &base.DataCoding)
	_ = had.Decode("esm_class", &class)
	parts := had.Raw("parts") != ""
	if class.UDHI() && !parts {
		base.ESMClass |= pdu.ESMUDHI
		put(&base, octets)
		return []letter{{ID: m.ID, Kind: kindMessage, Body: &pdu.DeliverSM{Message: base}}}, nil
	}
	cut, err := gsm.Splitter{Method: c.cutting}.Data(octets, c.reference())
	if err != nil {
		return nil, err
	}
	return segments(m.ID, base, &cut), nil
}

func segments(id string, base pdu.Message, text *gsm.Message) (list []letter) {
	for _, seg := range text.Segments {
		d := pdu.DeliverSM{Message: base}
		d.TLVs = append(pdu.TLVs(nil), base.TLVs...)
		if len(seg.Header) > 0 {
			d.ESMClass |= pdu.ESMUDHI
		}
		put(&d.Message, seg.Octets())
		if seg.Multipart() && (text.Method == gsm.SAR || text.Method == gsm.SAR16) {
			d.TLVs = append(d.TLVs, pdu.Short(pdu.TagSarMsgRefNum, seg.Reference),
				pdu.Byte(pdu.TagSarTotalSegments, seg.Total), pdu.Byte(pdu.TagSarSegmentSeqnum, seg.Seq))
		}
		list = append(list, letter{ID: id, Kind: kindMessage, Body: &d})
	}
	return list
}

func put(m *pdu.Message, octets []byte) {
	if len(octets) <= maxShortMessage {
		m.ShortMessage = octets
		return
	}
	m.TLVs = append(m.TLVs, pdu.TLV{Tag: pdu.TagMessagePayload, Value: octets})
}

// sessionParameters say where a USSD message stands in its session, as the
// transport's SMSC said it, or by what is known of the session.
func sessionParameters(m *message.Message, had *message.Object) (tlvs pdu.TLVs) {
	operation, err := strconv.ParseUint(had.Text("ussd_service_op"), 16, 8)
	if err != nil {
		operation = uint64(pdu.USSDUSSRConfirm)
		if m.SessionEvent == message.SessionNew {
			operation = uint64(pdu.USSDPSSRIndication)
		}
	}
	tlvs.Set(pdu.Byte(pdu.TagUSSDServiceOp, uint8(operation)))
	if info, err := hex.DecodeString(had.Text("its_session_info")); err == nil && len(info) == 2 {
		tlvs.Set(pdu.TLV{Tag: pdu.TagITSSessionInfo, Value: info})
	}
	var number *uint16
	if had.Decode("user_message_reference", &number) == nil && number != nil {
		tlvs.Set(pdu.Short(pdu.TagUserMessageReference, *number))
	}
	return tlvs
}

// reference tells a long message's parts from another's. A header has room for 8
// of its bits, so messages are counted: 256 go by before one comes again. Another
// process begins elsewhere.
func (c *customer) reference() uint16 { return uint16(c.references.Add(1)) }
