package simulator

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"time"
)

// line is a Received as the record has it.
type line struct {
	At         time.Time         `json:"at"`
	Bind       int               `json:"bind"`
	SystemID   string            `json:"system_id,omitempty"`
	Command    string            `json:"command"`
	Sequence   uint32            `json:"sequence"`
	Status     string            `json:"status,omitempty"`
	MessageID  string            `json:"message_id,omitempty"`
	Answered   bool              `json:"answered"`
	From       string            `json:"from,omitempty"`
	To         []string          `json:"to,omitempty"`
	Text       string            `json:"text,omitempty"`
	Octets     string            `json:"octets,omitempty"` // short_message or message_payload, in hexadecimal
	DataCoding *uint8            `json:"data_coding,omitempty"`
	ESMClass   uint8             `json:"esm_class,omitempty"`
	Registered uint8             `json:"registered_delivery,omitempty"`
	TLVs       map[string]string `json:"tlvs,omitempty"` // by name, in hexadecimal
}

func (r *Received) line() line {
	l := line{
		At: r.At, Bind: r.Bind, SystemID: r.SystemID, Command: r.PDU.Command().String(),
		Sequence: r.PDU.Sequence, MessageID: r.MessageID, Answered: r.Answered,
	}
	m := r.Message()
	if m == nil {
		return l
	}
	coding := uint8(m.DataCoding)
	l.Status, l.From, l.Text, l.Octets = r.Status.String(), m.Source.Addr, text(m), hex.EncodeToString(m.Payload())
	l.DataCoding, l.ESMClass, l.Registered = &coding, uint8(m.ESMClass), uint8(m.RegisteredDelivery)
	l.To = r.Recipients()
	for _, t := range m.TLVs {
		if l.TLVs == nil {
			l.TLVs = map[string]string{}
		}
		l.TLVs[t.Tag.String()] = hex.EncodeToString(t.Value)
	}
	return l
}

// MarshalJSON writes what the record has: command, addresses, text, octets.
func (r *Received) MarshalJSON() ([]byte, error) { return json.Marshal(r.line()) }

func writeLine(w io.Writer, r *Received) error {
	b, err := json.Marshal(r.line())
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
