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
	// helperKey is where helper_metadata and routing_metadata say which customer a message
	// is from.
	helperKey = "smpp_server"
)

// outbound is a message with all its parts, on its way to the fleet.
type outbound struct {
	*submission
	parts   []smpp.Part
	records []recordPart  // one for each submit
	ids     []string      // of the messages, one for each destination
	again   bool          // they may have gone out before
	with    []store.Entry // stored with what is remembered of the first
}

// hasMore reports whether a header has more than part numbers and national tables,
// such as ports. Such a message goes out as it came, part by part.
func hasMore(h gsm.Header) bool {
	return slices.ContainsFunc(h, func(el gsm.Element) bool {
		switch el.ID {
		case gsm.IEConcat8, gsm.IEConcat16, gsm.IESingle, gsm.IELocking:
			return false
		}
		return true
	})
}

// outgoing returns the message for one destination, and its text. What the submit
// has beside its text is in transport_metadata, under the keys the SMPP transport
// reads.
func (c *customer) outgoing(w *outbound, dest pdu.Address) (m *message.Message, text string) {
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
	m.RoutingMetadata.Set(helperKey, c.systemID) // returns with its events
	m.HelperMetadata.Set(helperKey, map[string]any{"system_id": c.systemID})
	meta := smpp.SubmitMetadata(&in)
	if asked := in.RegisteredDelivery; asked&(pdu.ReceiptSuccess|pdu.ReceiptIntermediate) != 0 {
		// The server decides which receipts the customer gets.
		all := smpp.Registration(pdu.ReceiptFinal | asked&pdu.ReceiptIntermediate)
		meta.RegisteredDelivery = &all
	}
	m.Content = c.write(&meta, w)
	parameters := smpp.Metadata{Numbering: meta.Numbering, TLVs: meta.TLVs}
	meta.Numbering, meta.TLVs = smpp.Numbering{}, nil
	beside, _ := json.Marshal(meta) // numbers and texts
	_ = m.TransportMetadata.UnmarshalJSON(beside)
	if parameters.Numbering != (smpp.Numbering{}) || len(parameters.TLVs) > 0 {
		m.TransportMetadata.Set(smpp.SubmitKey, parameters)
	}
	return m, m.Content
}

// write returns the text. Data, and text that its coding cannot read, are in meta as
// octets.
func (c *customer) write(meta *smpp.Metadata, w *outbound) string {
	first := w.parts[0]
	coding := uint8(first.Message.DataCoding)
	if len(w.parts) == 1 && (hasMore(first.Header) || first.Header == nil && w.ESMClass.UDHI()) {
		meta.Payload, meta.DataCoding, meta.UDHI = w.Payload(), &coding, true
		return ""
	}
	mixed := slices.ContainsFunc(w.parts, func(p smpp.Part) bool { return p.Message.DataCoding != first.Message.DataCoding })
	text, err := c.codings.Text(w.parts)
	class, has := gsm.MessageClass(coding)
	switch {
	case err != nil:
		meta.Payload, meta.DataCoding = smpp.Octets(w.parts), &coding
	case has && class == 0:
		meta.Flash = true
	case coding >= firstGroup && !mixed: // a class, or a waiting indication
		meta.DataCoding = &coding
	}
	return text
}

// firstGroup is where data_coding begins to be GSM 03.38's, not SMPP's.
const firstGroup = 0x10
