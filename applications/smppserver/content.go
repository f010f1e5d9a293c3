package smppserver

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"switchboard/message"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

const (
	typeSMS  = "sms"
	typeUSSD = "ussd"
	// helperKey is where helper_metadata says which customer a message is from.
	helperKey = "smpp_server"
)

// whole is a message with all its parts.
type whole struct {
	*submission
	parts   []gsm.Part
	header  gsm.Header    // of a message that is not put together
	shift   gsm.Shift     // of one that is
	records []recordPart  // one for each submit
	ids     []string      // of the messages, one for each person
	again   bool          // they may have gone out before
	with    []store.Entry // stored with what is remembered of the first
}

// partOf finds out whether a message is a part of a longer one, by its user
// data header or by SMPP's parameters.
func partOf(m *pdu.Message) (p gsm.Part, header gsm.Header) {
	payload := m.Payload()
	p = gsm.Part{Total: 1, Seq: 1, Payload: payload}
	if m.ESMClass.UDHI() {
		if read, h, err := gsm.ParsePart(payload); err == nil {
			p, header = read, h
		}
	}
	if p.Multipart() {
		return p, header
	}
	reference, ok := m.TLVs.Uint(pdu.TagSarMsgRefNum)
	total, _ := m.TLVs.Uint(pdu.TagSarTotalSegments)
	seq, _ := m.TLVs.Uint(pdu.TagSarSegmentSeqnum)
	if sar, valid := gsm.SARPart(uint16(reference), uint8(total), uint8(seq), p.Payload); ok && valid {
		sar.HeaderLength = p.HeaderLength
		return sar, header
	}
	return p, header
}

// hasMore says that a header carries more than numbers of parts and national
// tables: ports, say. Such a message goes out as it came, part by part.
func hasMore(h gsm.Header) bool {
	return slices.ContainsFunc(h, func(el gsm.Element) bool {
		switch el.ID {
		case gsm.IEConcat8, gsm.IEConcat16, gsm.IESingle, gsm.IELocking:
			return false
		}
		return true
	})
}

// outgoing is the message for one person, and its text where it has one.
func (c *customer) outgoing(w *whole, dest pdu.Address) (m *message.Message, text string) {
	m = message.New()
	m.From, m.To = fromSMPP(w.Source), fromSMPP(dest)
	m.TransportName, m.TransportType = c.SendVia, typeSMS
	m.Timestamp = time.Now().UTC()
	if c.Endpoint != "" {
		m.SetEndpoint(c.Endpoint)
	}
	m.HelperMetadata.Set(helperKey, map[string]any{"system_id": c.systemID})
	c.write(m, w)
	wishes(&m.TransportMetadata, w.Message)
	noteSession(m, w.TLVs)
	return m, m.Content
}

// write puts the text into the content; what is no text, or would not be the
// same after being read and written again, goes along as octets.
func (c *customer) write(m *message.Message, w *whole) {
	meta := &m.TransportMetadata
	if hasMore(w.header) || w.header == nil && w.ESMClass.UDHI() && len(w.parts) == 1 {
		meta.Set("payload", base64.StdEncoding.EncodeToString(w.Payload()))
		meta.Set("data_coding", int(w.DataCoding))
		meta.Set("udhi", true)
		return
	}
	text, err := c.encoding(w).DecodeParts(w.parts)
	var bad *gsm.DecodeError
	if err != nil {
		meta.Set("payload", base64.StdEncoding.EncodeToString(octets(w.parts)))
		meta.Set("data_coding", int(w.DataCoding))
		if !errors.As(err, &bad) {
			return
		}
	}
	m.Content = text
	class, has := gsm.MessageClass(uint8(w.DataCoding))
	switch {
	case err != nil:
	case has && class == 0:
		meta.Set("flash", true)
	case w.DataCoding >= firstGroup: // a class, or a waiting indication
		meta.Set("data_coding", int(w.DataCoding))
	}
}

// firstGroup is where data_coding begins to be GSM 03.38's, not SMPP's.
const firstGroup = 0x10

func (c *customer) encoding(w *whole) gsm.Encoding {
	shift := w.shift
	if w.header != nil {
		shift = w.header.Shift()
	}
	if meaning, has := c.meanings[w.DataCoding]; has {
		return gsm.Encoding{Coding: meaning, Shift: shift}
	}
	if w.DataCoding == pdu.DataCodingDefault {
		return gsm.Encoding{Coding: c.codes, Shift: shift}
	}
	return gsm.Encoding{Coding: gsm.FromDataCoding(uint8(w.DataCoding)), Shift: shift}
}

func octets(parts []gsm.Part) (all []byte) {
	for _, p := range parts {
		all = append(all, p.Payload...)
	}
	return all
}

// wishes are the keys of transport_metadata by which the SMPP transport is told
// what a submit_sm said beside its text.
func wishes(meta *message.Object, in *pdu.Message) {
	if in.ValidityPeriod != "" {
		meta.Set("validity", in.ValidityPeriod)
	}
	if in.ScheduleDeliveryTime != "" {
		meta.Set("schedule", in.ScheduleDeliveryTime)
	}
	if in.Priority != 0 {
		meta.Set("priority", int(in.Priority))
	}
	if in.ServiceType != "" {
		meta.Set("service_type", in.ServiceType)
	}
	if in.ProtocolID != 0 {
		meta.Set("protocol_id", int(in.ProtocolID))
	}
	if in.ReplaceIfPresent == 1 {
		meta.Set("replace", true)
	}
	if asked := in.RegisteredDelivery; asked&(pdu.ReceiptSuccess|pdu.ReceiptIntermediate) != 0 {
		// Which of the receipts the customer gets is sorted out here.
		meta.Set("registered_delivery", int(pdu.ReceiptFinal|asked&pdu.ReceiptIntermediate))
	}
	if reference, ok := in.TLVs.Uint(pdu.TagUserMessageReference); ok {
		meta.Set("user_message_reference", int(reference))
	}
}

// noteSession says where a USSD message stands in its session.
func noteSession(m *message.Message, tlvs pdu.TLVs) {
	operation, ok := tlvs.Uint(pdu.TagUSSDServiceOp)
	if !ok {
		return
	}
	m.TransportType, m.SessionEvent = typeUSSD, message.SessionResume
	m.TransportMetadata.Set("ussd_service_op", int(operation))
	if info, ok := tlvs.Get(pdu.TagITSSessionInfo); ok && len(info) == 2 {
		m.TransportMetadata.Set("its_session_info", hex.EncodeToString(info))
	}
	step, _ := tlvs.ITSSession()
	if step.End || uint8(operation) == pdu.USSDPSSRResponse || uint8(operation) == pdu.USSDPSSDResponse {
		m.SessionEvent = message.SessionClose
	}
}
