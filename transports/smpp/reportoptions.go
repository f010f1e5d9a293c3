package smpp

import (
	"errors"
	"time"

	"switchboard/options"
	"switchboard/smpp/receipt"
)

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
	SubmitIDFormat idFormat `yaml:"submit_id_format"`
	// ReceiptIDFormat is how receipts spell them: exact if submit_id_format is,
	// and only then. Default auto.
	ReceiptIDFormat idFormat `yaml:"receipt_id_format"`
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

func (o *Reports) validate() error {
	errs := []error{
		positive("third_party_id_expiry", o.ThirdPartyIDExpiry),
		positive("final_dr_third_party_id_expiry", o.FinalDRThirdPartyIDExpiry),
		positive("held_receipt_expiry", o.HeldReceiptExpiry),
		notBelow("query_after", o.QueryAfter, 0), between("query_tps", o.QueryTPS, 1, maxTPS),
	}
	if o.QueryAfter >= o.ThirdPartyIDExpiry && o.QueryAfter > 0 {
		errs = append(errs, options.Fieldf("query_after", "must be below third_party_id_expiry, after which the id is forgotten"))
	}
	if o.SubmitIDFormat.auto() != o.ReceiptIDFormat.auto() {
		errs = append(errs, options.Fieldf("receipt_id_format", "and submit_id_format are both auto, or both said"))
	}
	if (o.SubmitIDFormat == formatExact) != (o.ReceiptIDFormat == formatExact) {
		errs = append(errs, options.Fieldf("receipt_id_format", "and submit_id_format are both exact, or neither is"))
	}
	if _, err := o.parser(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// parser makes the reader of receipts.
func (o *Reports) parser() (p receipt.Parser, err error) {
	if o.DeliveryReportRegex != "" {
		if p.Pattern, err = receipt.CompilePattern(o.DeliveryReportRegex); err != nil {
			return p, options.Field(err, "delivery_report_regex")
		}
	}
	if p.Statuses, err = receipt.DefaultStatusMap().With(o.DeliveryReportStatusMapping); err != nil {
		return p, options.Field(err, "delivery_report_status_mapping")
	}
	if p.Location, err = time.LoadLocation(o.ReceiptTimezone); err != nil {
		return p, options.Field(err, "receipt_timezone")
	}
	return p, nil
}
