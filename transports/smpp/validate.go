package smpp

import (
	"cmp"
	"errors"
	"maps"
	"time"

	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/transports/smpp/binds"
)

// Validate checks the options, and puts those of Vumi's processors in their place.
func (t *Transport) Validate() error {
	t.applySections()
	o := &t.Options
	_, err := o.parse()
	return errors.Join(
		err, o.Options.Validate(), o.validateTexts(), o.validateReports(), binds.AtMost("service_type", o.ServiceType, smpp.MaxServiceType),
		o.Unknown.Validate(), options.Between("query_tps", o.QueryTPS, 1, binds.MaxTPS),
		options.Positive("submit_sm_expiry", o.SubmitSMExpiry), options.Positive("reassembly_ttl", o.ReassemblyTTL),
		options.Positive("deliver_timeout", o.DeliverTimeout), options.Positive("third_party_id_expiry", o.ThirdPartyIDExpiry),
		options.Positive("final_dr_third_party_id_expiry", o.FinalDRThirdPartyIDExpiry),
		options.Positive("held_receipt_expiry", o.HeldReceiptExpiry), options.NotNegative("query_after", o.QueryAfter))
}

func (o *Options) validateTexts() error {
	ways := 0
	for _, chosen := range [...]bool{o.SendLongMessages, o.SendMultipartSAR, o.SendMultipartUDH} {
		if chosen {
			ways++
		}
	}
	return errors.Join(
		options.If(o.MultipartReferenceBits != 8 && o.MultipartReferenceBits != 16, "multipart_reference_bits", "must be 8 or 16"),
		options.If(ways > 1, "send_long_messages", "send_multipart_sar and send_multipart_udh are three ways to do one thing; choose one"),
		options.If(o.InterfaceVersion < 0x34 && (o.SendLongMessages || o.SendMultipartSAR),
			"interface_version", "SMPP 3.3 has no optional parameters; write send_multipart_udh: true"))
}

func (o *Options) validateReports() error {
	return errors.Join(
		options.If(o.QueryAfter >= o.ThirdPartyIDExpiry && o.QueryAfter > 0, "query_after", "must be below third_party_id_expiry, after which the id is forgotten"),
		options.If((o.SubmitIDFormat == receipt.Auto) != (o.ReceiptIDFormat == receipt.Auto), "receipt_id_format", "and submit_id_format are both auto, or both said"),
		options.If((o.SubmitIDFormat == receipt.Exact) != (o.ReceiptIDFormat == receipt.Exact), "receipt_id_format", "and submit_id_format are both exact, or neither is"))
}

// applySections puts what the sections of Vumi's processors say into the options.
func (o *Options) applySections() {
	d, s, r := &o.DeliverConfig, &o.SubmitConfig, &o.ReportConfig
	override(&o.AllowEmptyMessages, d.AllowEmptyMessages)
	override(&o.SubmitSMEncoding, s.SubmitSMEncoding)
	override(&o.SendLongMessages, s.SendLongMessages)
	override(&o.SendMultipartSAR, s.SendMultipartSAR)
	override(&o.SendMultipartUDH, s.SendMultipartUDH)
	override(&o.DeliveryReportRegex, r.DeliveryReportRegex)
	override(&o.DeliveryReportUseESMClass, r.DeliveryReportUseESMClass)
	o.SubmitSMDataCoding = cmp.Or(s.SubmitSMDataCoding, o.SubmitSMDataCoding)
	o.DataCodingOverrides = merged(o.DataCodingOverrides, d.DataCodingOverrides)
	o.DeliveryReportStatusMapping = merged(o.DeliveryReportStatusMapping, r.DeliveryReportStatusMapping)
}

func override[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func merged(all, more map[string]string) map[string]string {
	if len(more) == 0 {
		return all
	}
	sum := map[string]string{}
	maps.Copy(sum, all)
	maps.Copy(sum, more)
	return sum
}

// method is how long texts are cut; SMPP 3.3 has user data headers only.
func (o *Options) method(v uint8) gsm.Method {
	wide := o.MultipartReferenceBits == 16
	switch {
	case o.SendLongMessages && v >= pdu.Version34:
		return gsm.Payload
	case o.SendMultipartSAR && v >= pdu.Version34 && wide:
		return gsm.SAR16
	case o.SendMultipartSAR && v >= pdu.Version34:
		return gsm.SAR
	case wide:
		return gsm.UDH16
	}
	return gsm.UDH8
}

// parsed are the options that have a notation of their own.
type parsed struct {
	splitter gsm.Splitter // its method depends on what the binds agreed on
	refused  []pdu.Tag
	codings  smpp.Codings // of what people send
	receipts receipt.Parser
}

func (o *Options) parse() (p parsed, err error) {
	var errs []error
	note := func(err error, keys ...string) { errs = append(errs, options.Under(err, keys...)) }
	switch {
	case o.SubmitSMEncoding != "":
		coding, err := gsm.ParseCoding(o.SubmitSMEncoding)
		note(err, "submit_sm_encoding")
		p.splitter.Codings = []gsm.Coding{coding}
	case o.SubmitSMDataCoding != nil:
		p.splitter.Codings = []gsm.Coding{gsm.FromDataCoding(*o.SubmitSMDataCoding)}
	}
	for _, name := range o.NationalLanguages {
		language, err := gsm.ParseLanguage(name)
		note(err, "national_languages", name)
		p.splitter.Languages = append(p.splitter.Languages, language)
	}
	p.refused, err = smpp.ParseTags(o.RefusedTLVs)
	note(err, "refused_tlvs")
	codings, number, err := smpp.ParseCodings(o.DataCodingOverrides)
	note(err, "data_coding_overrides", number)
	p.codings = codings
	if o.DeliveryReportRegex != "" {
		p.receipts.Pattern, err = receipt.CompilePattern(o.DeliveryReportRegex)
		note(err, "delivery_report_regex")
	}
	p.receipts.Statuses, err = receipt.DefaultStatusMap().With(o.DeliveryReportStatusMapping)
	note(err, "delivery_report_status_mapping")
	p.receipts.Location, err = time.LoadLocation(o.ReceiptTimezone)
	note(err, "receipt_timezone")
	return p, errors.Join(errs...)
}
