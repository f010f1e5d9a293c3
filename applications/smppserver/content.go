package smppserver

import (
	"encoding/json"
	"slices"
	"time"

	"switchboard/message"
	"switchboard/smpp"
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

// outgoing is the message for one person, and its text where it has one. What the
// submit says beside its text is in transport_metadata, under the keys the SMPP
// transport reads.
func (c *customer) outgoing(w *whole, dest pdu.Address) (m *message.Message, text string) {
	in := *w.Message
	in.Dest = dest
	m = message.New()
	m.From, m.To = smpp.FormatAddress(in.Source), smpp.FormatAddress(dest)
	m.TransportName, m.TransportType = c.SendVia, typeSMS
	if event, isUSSD := smpp.USSDSession(in.TLVs); isUSSD {
		m.TransportType, m.SessionEvent = typeUSSD, message.SessionEvent(event)
	}
	m.Timestamp = time.Now().UTC()
	if c.Endpoint != "" {
		m.SetEndpoint(c.Endpoint)
	}
	m.HelperMetadata.Set(helperKey, map[string]any{"system_id": c.systemID})
	meta := smpp.SubmitMetadata(&in)
	if asked := in.RegisteredDelivery; asked&(pdu.ReceiptSuccess|pdu.ReceiptIntermediate) != 0 {
		// Which of the receipts the customer gets is sorted out here.
		all := smpp.Registration(pdu.ReceiptFinal | asked&pdu.ReceiptIntermediate)
		meta.RegisteredDelivery = &all
	}
	m.Content = c.write(&meta, w)
	parameters := smpp.Metadata{Numbering: meta.Numbering, TLVs: meta.TLVs}
	meta.Numbering, meta.TLVs = smpp.Numbering{}, nil
	// Marshalling numbers and texts cannot fail.
	beside, _ := json.Marshal(meta)
	_ = m.TransportMetadata.UnmarshalJSON(beside)
	if under, _ := json.Marshal(parameters); len(under) > len("{}") {
		m.TransportMetadata.Set(smpp.SubmitKey, json.RawMessage(under))
	}
	return m, m.Content
}

// write returns the text; what is no text, or would not be the same after being
// read and written again, goes along as octets.
func (c *customer) write(meta *smpp.Metadata, w *whole) string {
	coding := uint8(w.DataCoding)
	if hasMore(w.header) || w.header == nil && w.ESMClass.UDHI() && len(w.parts) == 1 {
		meta.Payload, meta.DataCoding, meta.UDHI = w.Payload(), &coding, true
		return ""
	}
	text, err := c.encoding(w).DecodeParts(w.parts)
	class, has := gsm.MessageClass(coding)
	switch {
	case err != nil:
		meta.Payload, meta.DataCoding = octets(w.parts), &coding
	case has && class == 0:
		meta.Flash = true
	case w.DataCoding >= firstGroup: // a class, or a waiting indication
		meta.DataCoding = &coding
	}
	return text
}

// firstGroup is where data_coding begins to be GSM 03.38's, not SMPP's.
const firstGroup = 0x10

func (c *customer) encoding(w *whole) gsm.Encoding {
	shift := w.shift
	if w.header != nil {
		shift = w.header.Shift()
	}
	return c.codings.Of(w.Message, shift)
}

func octets(parts []gsm.Part) (all []byte) {
	for _, p := range parts {
		all = append(all, p.Payload...)
	}
	return all
}
