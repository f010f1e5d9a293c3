package smpp

import (
	"time"

	"switchboard/options"
	"switchboard/smpp/receipt"
	"switchboard/transports"
	"switchboard/transports/smpp/binds"
)

// Options are the transport's options: those of Vumi's SMPP transports with their
// names, and ours beside them.
type Options struct {
	// TransportName is the transport's connector.
	TransportName string `yaml:"transport_name"`
	// TransportType is the messages' transport_type. Default sms. Messages of a
	// USSD session always have ussd.
	TransportType string `yaml:"transport_type"`

	binds.Options      `yaml:",inline"`
	transports.Unknown `yaml:",inline"`

	Outgoing   `yaml:",inline"`
	Incoming   `yaml:",inline"`
	Reports    `yaml:",inline"`
	Processors `yaml:",inline"`
}

// IgnoredKeys are those of Vumi's SMPP transports, old and new.
func (Options) IgnoredKeys() map[string]string {
	const (
		numbers   = "numbers are brought into one shape by the middleware msisdn"
		sequences = "each bind counts its own sequence numbers"
	)
	return map[string]string{
		"COUNTRY_CODE": numbers, "OPERATOR_PREFIX": numbers,
		"OPERATOR_NUMBER": "from_addr is the application's to choose, or the router's (rules: set)",
		"smpp_offset":     sequences, "smpp_increment": sequences,
		"codec_class":                     "the codecs are built in; data_coding_overrides chooses among them",
		"deliver_sm_decoding_error":       "what an SMSC is answered follows from the fault",
		"completed_multipart_info_expiry": "reassembly_ttl bounds how long parts are kept",
	}
}

// Outgoing says how messages are written.
type Outgoing struct {
	// ServiceType is the service_type of every message, at most 5 characters.
	ServiceType string `yaml:"service_type"`
	// DestAddrTON is the type of number of to_addr (§5.2.5). Default 0. A leading
	// + is taken off and makes it 1.
	DestAddrTON uint8 `yaml:"dest_addr_ton"`
	// DestAddrNPI is its numbering plan (§5.2.6). Default 1.
	DestAddrNPI uint8 `yaml:"dest_addr_npi"`
	// SourceAddrTON is the type of number of from_addr. Default 0. Letters make
	// it 5, a leading + is taken off and makes it 1.
	SourceAddrTON uint8 `yaml:"source_addr_ton"`
	// SourceAddrNPI is its numbering plan. Default 0.
	SourceAddrNPI uint8 `yaml:"source_addr_npi"`
	// RegisteredDelivery asks for receipts. Default true.
	RegisteredDelivery bool `yaml:"registered_delivery"`
	// SubmitSMEncoding is the coding of every text: gsm0338, gsm0338-packed,
	// ascii, latin1, ucs2, utf-8, … Default: gsm0338 where it has every
	// character, else ucs2.
	SubmitSMEncoding string `yaml:"submit_sm_encoding"`
	// SubmitSMDataCoding is the data_coding of every text. Default: the coding's
	// own.
	SubmitSMDataCoding *uint8 `yaml:"submit_sm_data_coding"`
	// NationalLanguages are those whose shift tables may be written with.
	// Default none. Example: [turkish, portuguese].
	NationalLanguages options.Names `yaml:"national_languages"`
	// SendLongMessages puts a long text into message_payload, uncut.
	SendLongMessages bool `yaml:"send_long_messages"`
	// SendMultipartSAR cuts a long text and numbers the parts by sar_ parameters.
	SendMultipartSAR bool `yaml:"send_multipart_sar"`
	// SendMultipartUDH cuts a long text and numbers the parts by user data
	// headers. It is what happens by default.
	SendMultipartUDH bool `yaml:"send_multipart_udh"`
	// MultipartReferenceBits is how long the parts' reference is, 8 or 16. Default 8.
	MultipartReferenceBits int `yaml:"multipart_reference_bits"`
	// SubmitSMExpiry is how long what was submitted of a message that is not done
	// with is remembered. Default 24h.
	SubmitSMExpiry options.Duration `yaml:"submit_sm_expiry"`
	// UserMessageReference gives every submit_sm a number of ours
	// (user_message_reference, §5.3.2.17). Receipts bring it back, and by it that
	// of a submit without an answer finds its message. Default true. It is
	// left out on binds whose SMSC does not say in its answer that it speaks 3.4
	// or later, or has refused it.
	UserMessageReference bool `yaml:"user_message_reference"`
	// RefusedTLVs are the optional parameters that no message may go out with, by
	// name or number. Example: [privacy_indicator, 0x1400].
	RefusedTLVs options.Names `yaml:"refused_tlvs"`
	// DisableAck publishes no acks.
	DisableAck bool `yaml:"disable_ack"`
}

// Incoming says how messages from people are read.
type Incoming struct {
	// DataCodingOverrides are the codings that data_coding values mean to this
	// SMSC, where it does not keep to the specification. Example: {0: latin1}.
	DataCodingOverrides map[string]string `yaml:"data_coding_overrides"`
	// AllowEmptyMessages takes people's messages without a text, as content "".
	// Default false: the SMSC is told ESME_RX_P_APPN, and the message is dropped,
	// as Vumi does. Steps of a USSD session are always taken.
	AllowEmptyMessages bool `yaml:"allow_empty_messages"`
	// ReassemblyTTL is how long the parts of a long message wait for each other;
	// then what is there is received as it is. Default 1h.
	ReassemblyTTL options.Duration `yaml:"reassembly_ttl"`
	// DeliverTimeout is how long a message or a receipt may wait for the broker;
	// then the SMSC is asked to send it again later. It is to be less than the
	// SMSC waits for an answer. Default 10s.
	DeliverTimeout options.Duration `yaml:"deliver_timeout"`
}

// Reports says how receipts are read and matched.
type Reports struct {
	// DisableDeliveryReport publishes no delivery reports.
	DisableDeliveryReport bool `yaml:"disable_delivery_report"`
	// DeliveryReportRegex reads receipts' texts, with the groups id and stat at
	// least. Default: a reader that takes every form known.
	DeliveryReportRegex string `yaml:"delivery_report_regex"`
	// DeliveryReportStatusMapping adds to, or changes, what an SMSC's words mean:
	// delivered, failed or pending. Example: {ACCEPTD: delivered}.
	DeliveryReportStatusMapping map[string]string `yaml:"delivery_report_status_mapping"`
	// DeliveryReportUseESMClass takes for a receipt what esm_class says is one;
	// when false, every message that reads as one. Default true.
	DeliveryReportUseESMClass bool `yaml:"delivery_report_use_esm_class"`
	// ThirdPartyIDExpiry is how long the SMSC's id of a message is remembered.
	// Default 168h.
	ThirdPartyIDExpiry options.Duration `yaml:"third_party_id_expiry"`
	// FinalDRThirdPartyIDExpiry is how long after its last receipt. Default 1h.
	FinalDRThirdPartyIDExpiry options.Duration `yaml:"final_dr_third_party_id_expiry"`
	// HeldReceiptExpiry is how long a receipt for an id not known is kept, in
	// case the id comes after it. Default 1h.
	HeldReceiptExpiry options.Duration `yaml:"held_receipt_expiry"`
	// SubmitIDFormat is how submit_sm_resp spells ids: verbatim, which is the same
	// as receipts do but for case and leading zeros; exact, the same octet by
	// octet; hex; decimal; or auto to find out. Default auto.
	SubmitIDFormat receipt.IDFormat `yaml:"submit_id_format"`
	// ReceiptIDFormat is how receipts spell them: exact if submit_id_format is,
	// and only then. Default auto.
	ReceiptIDFormat receipt.IDFormat `yaml:"receipt_id_format"`
	// QueryAfter is how long a message's last receipt may be missing before the
	// SMSC is asked by query_sm (§4.8) what became of it, and again after twice
	// as long. Default 0: it is never asked.
	QueryAfter options.Duration `yaml:"query_after"`
	// QueryTPS is how many query_sm are sent in a second at most, and never more
	// than a tenth of mt_tps, in which they count. Default 10.
	QueryTPS int `yaml:"query_tps"`
	// ReceiptTimezone is the zone of receipts' dates, as in Africa/Lagos. Default
	// UTC.
	ReceiptTimezone string `yaml:"receipt_timezone"`
}

// Processors are the sections in which Vumi's newer files have the options of
// its processors. What stands in one counts for more than at the top level.
type Processors struct {
	// DeliverProcessor names Vumi's class for people's messages; any is taken
	// for the one there is.
	DeliverProcessor string `yaml:"deliver_short_message_processor"`
	// DeliverConfig holds data_coding_overrides and allow_empty_messages.
	DeliverConfig deliverSection `yaml:"deliver_short_message_processor_config"`
	// SubmitProcessor names Vumi's class for messages to people.
	SubmitProcessor string `yaml:"submit_short_message_processor"`
	// SubmitConfig holds submit_sm_encoding, submit_sm_data_coding,
	// send_long_messages, send_multipart_sar and send_multipart_udh.
	SubmitConfig submitSection `yaml:"submit_short_message_processor_config"`
	// ReportProcessor names Vumi's class for receipts.
	ReportProcessor string `yaml:"delivery_report_processor"`
	// ReportConfig holds delivery_report_regex, delivery_report_status_mapping
	// and delivery_report_use_esm_class.
	ReportConfig reportSection `yaml:"delivery_report_processor_config"`
}

type deliverSection struct {
	DataCodingOverrides map[string]string `yaml:"data_coding_overrides"`
	AllowEmptyMessages  *bool             `yaml:"allow_empty_messages"`
}

type submitSection struct {
	SubmitSMEncoding   *string `yaml:"submit_sm_encoding"`
	SubmitSMDataCoding *uint8  `yaml:"submit_sm_data_coding"`
	SendLongMessages   *bool   `yaml:"send_long_messages"`
	SendMultipartSAR   *bool   `yaml:"send_multipart_sar"`
	SendMultipartUDH   *bool   `yaml:"send_multipart_udh"`
}

type reportSection struct {
	DeliveryReportRegex         *string           `yaml:"delivery_report_regex"`
	DeliveryReportStatusMapping map[string]string `yaml:"delivery_report_status_mapping"`
	DeliveryReportUseESMClass   *bool             `yaml:"delivery_report_use_esm_class"`
}

func defaultOptions() (o Options) {
	o.TransportType, o.Port, o.InterfaceVersion, o.BindMode, o.Binds = "sms", 2775, 0x34, binds.ModeTransceiver, 1
	o.BindTimeout, o.EnquireLinkInterval, o.StableAfter = seconds(30), seconds(55), seconds(30)
	o.InitialReconnectDelay, o.MaxReconnectDelay = seconds(1), seconds(60)
	o.Window, o.DeliverWindow, o.ThrottleDelay, o.SubmitTimeout = 10, 1000, options.Duration(100*time.Millisecond), seconds(30)
	o.Unknown = transports.DefaultUnknown()
	o.DestAddrNPI, o.MultipartReferenceBits, o.RegisteredDelivery, o.UserMessageReference = 1, 8, true, true
	o.ReassemblyTTL, o.DeliverTimeout, o.DeliveryReportUseESMClass = seconds(3600), seconds(10), true
	o.SubmitSMExpiry, o.ThirdPartyIDExpiry, o.FinalDRThirdPartyIDExpiry, o.HeldReceiptExpiry = seconds(86400), seconds(604800), seconds(3600), seconds(3600)
	o.SubmitIDFormat, o.ReceiptIDFormat, o.QueryTPS = receipt.Auto, receipt.Auto, 10
	return o
}

func seconds(n int) options.Duration { return options.Duration(time.Duration(n) * time.Second) }

const (
	ussdSessions  = "sessions last as long as the SMSC says"
	sarReferences = "multipart_reference_bits says how large a reference grows"
)

// IgnoredKeys are those of Vumi's processors for people's messages.
func (deliverSection) IgnoredKeys() map[string]string {
	return map[string]string{"max_session_length": ussdSessions, "ussd_code_pdu_field": ussdSessions, "redis_manager": ussdSessions}
}

// IgnoredKeys are those of Vumi's processors for messages to people.
func (submitSection) IgnoredKeys() map[string]string {
	return map[string]string{"max_session_length": ussdSessions, "multipart_sar_reference_rollover": sarReferences, "redis_manager": ussdSessions}
}
