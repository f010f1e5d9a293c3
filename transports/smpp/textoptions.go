package smpp

import (
	"errors"
	"maps"

	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

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
	// DisableAck publishes no acks.
	DisableAck bool `yaml:"disable_ack"`
}

func (o *Outgoing) validate(v version) error {
	errs := []error{
		atMost("service_type", o.ServiceType, 5), positive("submit_sm_expiry", o.SubmitSMExpiry),
	}
	if o.SubmitSMEncoding != "" {
		if _, err := gsm.ParseCoding(o.SubmitSMEncoding); err != nil {
			errs = append(errs, options.Field(err, "submit_sm_encoding"))
		}
	}
	for _, name := range o.NationalLanguages {
		if _, err := gsm.ParseLanguage(name); err != nil {
			errs = append(errs, options.Field(err, "national_languages", name))
		}
	}
	if b := o.MultipartReferenceBits; b != 8 && b != 16 {
		errs = append(errs, options.Fieldf("multipart_reference_bits", "must be 8 or 16"))
	}
	ways := 0
	for _, chosen := range [...]bool{o.SendLongMessages, o.SendMultipartSAR, o.SendMultipartUDH} {
		if chosen {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, options.Fieldf("send_long_messages", "send_multipart_sar and send_multipart_udh are three ways to do one thing; choose one"))
	}
	if v < version(pdu.Version34) && (o.SendLongMessages || o.SendMultipartSAR) {
		errs = append(errs, options.Fieldf("interface_version", "SMPP 3.3 has no optional parameters; write send_multipart_udh: true"))
	}
	return errors.Join(errs...)
}

// method is how long texts are cut; SMPP 3.3 has user data headers only.
func (o *Outgoing) method(v version) gsm.Method {
	wide := o.MultipartReferenceBits == 16
	switch {
	case o.SendLongMessages && v >= version(pdu.Version34):
		return gsm.Payload
	case o.SendMultipartSAR && v >= version(pdu.Version34) && wide:
		return gsm.SAR16
	case o.SendMultipartSAR && v >= version(pdu.Version34):
		return gsm.SAR
	case wide:
		return gsm.UDH16
	}
	return gsm.UDH8
}

// codings are those a text may be written in, the cheapest being taken.
func (o *Outgoing) codings() []gsm.Coding {
	if o.SubmitSMEncoding != "" {
		coding, _ := gsm.ParseCoding(o.SubmitSMEncoding) // checked
		return []gsm.Coding{coding}
	}
	if o.SubmitSMDataCoding != nil {
		return []gsm.Coding{gsm.FromDataCoding(*o.SubmitSMDataCoding)}
	}
	return nil
}

func (o *Outgoing) languages() (list []gsm.Language) {
	for _, name := range o.NationalLanguages {
		language, _ := gsm.ParseLanguage(name) // checked
		list = append(list, language)
	}
	return list
}

// Incoming says how people's messages are read.
type Incoming struct {
	// DataCodingOverrides are the codings that data_coding values mean to this
	// SMSC, where it does not keep to the specification. Example: {0: latin1}.
	DataCodingOverrides map[string]string `yaml:"data_coding_overrides"`
	// AllowEmptyMessages takes people's messages without a text, as content "".
	// Default false: the SMSC is told ESME_RX_P_APPN, and the message is let go,
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

func (o *Incoming) validate() error {
	errs := []error{positive("reassembly_ttl", o.ReassemblyTTL), positive("deliver_timeout", o.DeliverTimeout)}
	if _, err := o.codingOverrides(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (o *Incoming) codingOverrides() (smpp.Codings, error) {
	codings, number, err := smpp.ParseCodings(o.DataCodingOverrides)
	if err != nil {
		return nil, options.Field(err, "data_coding_overrides", number)
	}
	return codings, nil
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

// apply puts what the sections say into the options.
func (p *Processors) apply(o *Options) {
	set(&o.AllowEmptyMessages, p.DeliverConfig.AllowEmptyMessages)
	merge(&o.DataCodingOverrides, p.DeliverConfig.DataCodingOverrides)
	s := &p.SubmitConfig
	set(&o.SubmitSMEncoding, s.SubmitSMEncoding)
	set(&o.SendLongMessages, s.SendLongMessages)
	set(&o.SendMultipartSAR, s.SendMultipartSAR)
	set(&o.SendMultipartUDH, s.SendMultipartUDH)
	if s.SubmitSMDataCoding != nil {
		o.SubmitSMDataCoding = s.SubmitSMDataCoding
	}
	set(&o.DeliveryReportRegex, p.ReportConfig.DeliveryReportRegex)
	set(&o.DeliveryReportUseESMClass, p.ReportConfig.DeliveryReportUseESMClass)
	merge(&o.DeliveryReportStatusMapping, p.ReportConfig.DeliveryReportStatusMapping)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func merge(to *map[string]string, from map[string]string) {
	if len(from) == 0 {
		return
	}
	all := maps.Clone(*to)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, from)
	*to = all
}
