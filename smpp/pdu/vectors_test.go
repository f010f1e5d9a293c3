package pdu_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchboard/smpp/pdu"
)

// vectors reads testdata/vectors.txt: PDUs encoded by an implementation that is
// not ours.
func vectors(t testing.TB) map[string][]byte {
	t.Helper()
	file, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for line := range strings.Lines(string(file)) {
		name, digits, ok := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(line, "#") || !ok {
			continue
		}
		if found[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(name, err)
		}
	}
	return found
}

func address(ton pdu.TON, npi pdu.NPI, addr string) pdu.Address {
	return pdu.Address{TON: ton, NPI: npi, Addr: addr}
}

// samples are the PDUs of testdata/vectors.txt as we write them.
func samples() map[string]*pdu.PDU {
	return map[string]*pdu.PDU{
		"bind_transceiver": {Sequence: 1, Body: &pdu.Bind{
			ID: pdu.CmdBindTransceiver, SystemID: "switch", Password: "secret", SystemType: "VMA",
			InterfaceVersion: pdu.Version34, AddressTON: 1, AddressNPI: 1, AddressRange: "^27",
		}},
		"bind_transmitter_resp": {Sequence: 2, Body: &pdu.BindResp{
			ID: pdu.CmdBindTransmitterResp, SystemID: "SMSC",
			TLVs: pdu.TLVs{pdu.Byte(pdu.TagSCInterfaceVersion, pdu.Version34)},
		}},
		"outbind": {Sequence: 3, Body: &pdu.Outbind{SystemID: "SMSC", Password: "pw"}},
		"submit_sm": {Sequence: pdu.MaxSequence, Body: &pdu.SubmitSM{Message: pdu.Message{
			ServiceType: "CMT",
			Source:      address(pdu.TONAlphanumeric, pdu.NPIUnknown, "Bank"),
			Dest:        address(pdu.TONInternational, pdu.NPIE164, "27831234567"),
			ESMClass:    pdu.ESMStoreAndForward, ProtocolID: 0x41, Priority: 1,
			ValidityPeriod: "000001000000000R", RegisteredDelivery: pdu.ReceiptFinal, ReplaceIfPresent: 1,
			DataCoding:   pdu.DataCodingUCS2,
			ShortMessage: []byte("\x00H\x00i\xd8\x3d\xde\x00"),
			TLVs:         pdu.TLVs{pdu.Short(pdu.TagUserMessageReference, 0x1234)},
		}}},
		"submit_sm_payload": {Sequence: 5, Body: &pdu.SubmitSM{Message: pdu.Message{
			Source: address(0, 0, "1"), Dest: address(0, 0, "2"),
			TLVs: pdu.TLVs{
				{Tag: pdu.TagMessagePayload, Value: []byte("payload")},
				pdu.Short(pdu.TagSarMsgRefNum, 513), pdu.Byte(pdu.TagSarTotalSegments, 3), pdu.Byte(pdu.TagSarSegmentSeqnum, 2),
				pdu.Byte(pdu.TagUSSDServiceOp, pdu.USSDUSSRRequest),
				pdu.ITSSession{Number: 7, Sequence: 2, End: true}.TLV(),
			},
		}}},
		"submit_sm_resp":           {Sequence: 6, Body: &pdu.SubmitSMResp{MessageID: "00BC614E"}},
		"submit_sm_resp_throttled": {Sequence: 7, Status: pdu.StatusThrottled, Body: &pdu.SubmitSMResp{}},
		"deliver_sm_receipt": {Sequence: 8, Body: &pdu.DeliverSM{Message: pdu.Message{
			Source: address(0, 0, "27831234567"), Dest: address(0, 0, "1234"),
			ESMClass: pdu.ESMReceipt, ShortMessage: []byte("id:1 stat:DELIVRD"),
			TLVs: pdu.TLVs{
				pdu.CString(pdu.TagReceiptedMessageID, "1"),
				pdu.Byte(pdu.TagMessageState, uint8(pdu.StateDelivered)),
				pdu.NetworkError{Network: 3, Code: 8}.TLV(),
			},
		}}},
		"deliver_sm_resp": {Sequence: 9, Body: &pdu.DeliverSMResp{}},
		"data_sm": {Sequence: 10, Body: &pdu.DataSM{
			ServiceType: "WAP", Source: address(1, 0, "27"), Dest: address(0, 1, "28"),
			ESMClass: pdu.ESMUDHI, RegisteredDelivery: 1, DataCoding: pdu.DataCodingOctets2,
			TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte{1, 2, 3}}},
		}},
		"data_sm_resp": {Sequence: 11, Body: &pdu.DataSMResp{
			MessageID: "x", TLVs: pdu.TLVs{pdu.Byte(pdu.TagDeliveryFailureReason, 1)},
		}},
		"query_sm":       {Sequence: 12, Body: &pdu.QuerySM{MessageID: "abc", Source: address(1, 1, "27")}},
		"query_sm_resp":  {Sequence: 13, Body: &pdu.QuerySMResp{MessageID: "abc", State: pdu.StateDelivered, ErrorCode: 9}},
		"cancel_sm":      {Sequence: 14, Body: &pdu.CancelSM{MessageID: "abc", Source: address(0, 0, "1"), Dest: address(0, 0, "2")}},
		"cancel_sm_resp": {Sequence: 15, Body: &pdu.CancelSMResp{}},
		"replace_sm": {Sequence: 16, Body: &pdu.ReplaceSM{
			MessageID: "abc", Source: address(0, 0, "1"), RegisteredDelivery: 1, ShortMessage: []byte("new"),
		}},
		"submit_multi": {Sequence: 17, Body: &pdu.SubmitMulti{
			Message: pdu.Message{Source: address(0, 0, "1"), ShortMessage: []byte("hi")},
			Dests:   []pdu.Destination{{Address: address(1, 1, "27")}, {List: "friends"}},
		}},
		"submit_multi_resp": {Sequence: 18, Body: &pdu.SubmitMultiResp{
			MessageID: "m", Unsuccessful: []pdu.Unsuccessful{{Address: address(1, 1, "27"), Status: pdu.StatusInvDstAdr}},
		}},
		"alert_notification": {Sequence: 19, Body: &pdu.AlertNotification{
			Source: address(1, 1, "27"), ESME: address(2, 3, "28"),
			TLVs: pdu.TLVs{pdu.Byte(pdu.TagMSAvailabilityStatus, 1)},
		}},
		"unbind":            {Sequence: 20, Body: &pdu.Unbind{}},
		"unbind_resp":       {Sequence: 20, Body: &pdu.UnbindResp{}},
		"enquire_link":      {Sequence: 20, Body: &pdu.EnquireLink{}},
		"enquire_link_resp": {Sequence: 20, Body: &pdu.EnquireLinkResp{}},
		"generic_nack":      {Sequence: 20, Body: &pdu.GenericNack{}},
		"replace_sm_resp":   {Sequence: 20, Body: &pdu.ReplaceSMResp{}},
	}
}

func TestAnotherImplementationsPDUs(t *testing.T) {
	octets, ours := vectors(t), samples()
	if len(octets) != len(ours) {
		t.Errorf("%d vectors for %d samples", len(octets), len(ours))
	}
	for name, want := range ours {
		t.Run(name, func(t *testing.T) {
			got, err := pdu.Decode(octets[name])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			var b bytes.Buffer
			if _, err := want.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), octets[name]) {
				t.Errorf("encoded\n%x, want\n%x", b.Bytes(), octets[name])
			}
			if err := want.Validate(); err != nil {
				t.Errorf("a strict peer would refuse it: %v", err)
			}
		})
	}
}
