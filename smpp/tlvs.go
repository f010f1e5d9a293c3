package smpp

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"switchboard/smpp/pdu"
)

// TLVs are optional parameters in transport_metadata, in the order of the wire:
//
//	[{"tag": "destination_port", "value": "1f90"}, {"tag": "0x1400", "text": "1101"}]
//
// value has hexadecimal digits, text the octets of a text as they are.
type TLVs []pdu.TLV

type jsonTLV struct {
	Tag   string  `json:"tag"`
	Value *string `json:"value,omitempty"`
	Text  *string `json:"text,omitempty"`
}

// MarshalJSON writes values as hexadecimal digits.
func (l TLVs) MarshalJSON() ([]byte, error) {
	list := make([]jsonTLV, len(l))
	for i, t := range l {
		value := hex.EncodeToString(t.Value)
		list[i] = jsonTLV{Tag: t.Tag.Key(), Value: &value}
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads the list. It refuses the parameters that have keys of
// their own, and those the transport writes itself.
func (l *TLVs) UnmarshalJSON(raw []byte) error {
	var list []jsonTLV
	if json.Unmarshal(raw, &list) != nil {
		return errors.New(`it must be a list like [{"tag": "0x1400", "value": "1f90"}]`)
	}
	*l = nil
	for _, t := range list {
		read, err := t.read()
		if err != nil {
			return err
		}
		*l = append(*l, read)
	}
	return nil
}

func (t jsonTLV) read() (tlv pdu.TLV, err error) {
	if tlv.Tag, err = pdu.ParseTag(t.Tag); err != nil {
		return tlv, err
	}
	if hasItsPlace(tlv.Tag) {
		return tlv, fmt.Errorf("%s has a key of its own, or is written by the transport", tlv.Tag)
	}
	switch {
	case (t.Value == nil) == (t.Text == nil):
		return tlv, fmt.Errorf("%s must have either a value or a text", tlv.Tag)
	case t.Text != nil:
		tlv.Value = []byte(*t.Text)
	default:
		if tlv.Value, err = hex.DecodeString(*t.Value); err != nil {
			return tlv, fmt.Errorf("the value of %s must be hexadecimal digits; write text for a text", tlv.Tag)
		}
	}
	return tlv, tlv.Check()
}

// Passed returns the parameters of a message that go through the fleet as they
// are: all but those whose meaning is in the message, or in a key of its own.
func Passed(tlvs pdu.TLVs) (passed TLVs) {
	for _, t := range tlvs {
		if !hasItsPlace(t.Tag) {
			passed = append(passed, t)
		}
	}
	return slices.Clip(passed)
}

func hasItsPlace(tag pdu.Tag) bool {
	switch tag {
	case pdu.TagSarMsgRefNum, pdu.TagSarTotalSegments, pdu.TagSarSegmentSeqnum, pdu.TagMessagePayload,
		pdu.TagUSSDServiceOp, pdu.TagITSSessionInfo, pdu.TagUserMessageReference:
		return true
	}
	return false
}

// ParseTags reads names or numbers of tags.
func ParseTags(texts []string) (tags []pdu.Tag, err error) {
	for _, text := range texts {
		tag, err := pdu.ParseTag(text)
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	return tags, nil
}
