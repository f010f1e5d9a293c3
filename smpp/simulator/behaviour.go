package simulator

import "switchboard/options"

// Behaviour is how the SMSC treats an account. A group that is nil is that of
// the level below: a phase's lies over an account's, that over everybody's. A
// group replaces the other's as a whole. Rates are probabilities, 0 to 1.
type Behaviour struct {
	Binds    *Binds    `yaml:"binds"`
	IDs      *IDs      `yaml:"ids"`
	Answers  *Answers  `yaml:"answers"`
	Receipts *Receipts `yaml:"receipts"`
	Queries  *Queries  `yaml:"queries"`
	Links    *Links    `yaml:"links"`
	Delivery *Delivery `yaml:"delivery"`
	Generate *Generate `yaml:"generate"`
	USSD     *USSD     `yaml:"ussd"`
	Rules    []Rule    `yaml:"rules"`
}

// Binds is how binds are answered.
type Binds struct {
	Refuse Status      `yaml:"refuse"` // with this status, for instance ESME_RBINDFAIL
	Rate   Probability `yaml:"rate"`   // of those refused; 1 unless set
	First  int         `yaml:"first"`  // only so many; 0: all
	Silent bool        `yaml:"silent"` // connections are accepted, and nothing is ever answered
	Delay  Spread      `yaml:"delay"`  // before the answer
}

// IDs is how message ids are spelt.
type IDs struct {
	Format       string `yaml:"format"`        // decimal (unless set), hex, upper_hex, uuid, upper_uuid
	Width        int    `yaml:"width"`         // filled up with zeros in front
	Prefix       string `yaml:"prefix"`        // in front of all
	Start        uint64 `yaml:"start"`         // the first number; 1 unless set
	InReceipts   string `yaml:"in_receipts"`   // another format for receipts
	ReceiptWidth int    `yaml:"receipt_width"` // another width for receipts, when in_receipts is set

	Repeated Probability `yaml:"repeated"` // rate of messages that get the id of the one before
}

// Answers is how submit_sm, submit_multi and data_sm are answered.
type Answers struct {
	Delay         Spread      `yaml:"delay"`          // the round trip
	TPS           float64     `yaml:"tps"`            // more a second get ESME_RTHROTTLED, per account; 0: any number
	Burst         int         `yaml:"burst"`          // above tps in one go; a tenth of a second's unless set
	Window        int         `yaml:"window"`         // unanswered requests per bind, more get window_status; 0: any number
	WindowStatus  Status      `yaml:"window_status"`  // ESME_RTHROTTLED unless set
	QueueFull     Probability `yaml:"queue_full"`     // rate of ESME_RMSGQFUL
	Errors        []ErrorRate `yaml:"errors"`         // and of others
	Lost          Probability `yaml:"lost"`           // rate of messages that are taken, and not answered
	Ignored       Probability `yaml:"ignored"`        // rate of messages that are neither taken nor answered
	Late          Probability `yaml:"late"`           // rate of answers that come late_by after their time
	LateBy        Spread      `yaml:"late_by"`        // 1m unless set
	Early         Probability `yaml:"early"`          // rate of answers to the next request, before it was made
	Duplicated    Probability `yaml:"duplicated"`     // rate of answers that come twice
	WrongSequence Probability `yaml:"wrong_sequence"` // rate of answers with a sequence_number that was never used
	Nack          Probability `yaml:"nack"`           // rate of generic_nack in place of the answer
	EmptyID       Probability `yaml:"empty_id"`       // rate of granting answers without message_id
	Congestion    *uint8      `yaml:"congestion"`     // congestion_state, 0 to 100, for peers of SMPP 5.0
}

// ErrorRate is a command_status and how often it is answered.
type ErrorRate struct {
	Status Status      `yaml:"status"`
	Rate   Probability `yaml:"rate"`
}

// Receipts is what is reported, to those who asked for it (registered_delivery).
type Receipts struct {
	Form         string      `yaml:"form"`         // both (unless set), tlv, text, none
	Style        string      `yaml:"style"`        // of the text: standard (unless set), lower, seconds, minimal, padded
	Text         string      `yaml:"text"`         // instead of style, with {id} {stat} {err} {sub} {dlvrd} {submit} {done} {text}
	Delay        Spread      `yaml:"delay"`        // after the answer
	Outcomes     []Outcome   `yaml:"outcomes"`     // the rest is DELIVRD
	Always       bool        `yaml:"always"`       // also to those who did not ask
	Intermediate Probability `yaml:"intermediate"` // rate of ENROUTE notifications before the receipt
	Early        Probability `yaml:"early"`        // rate of receipts before the answer to the submit
	EarlyBy      Spread      `yaml:"early_by"`     // how much before; 50ms unless set
	Duplicated   Probability `yaml:"duplicated"`   // rate of receipts that come twice
	Lost         Probability `yaml:"lost"`         // rate of receipts that never come
	Unmatched    Probability `yaml:"unmatched"`    // rate of receipts with an id that was never given, besides the right one
	ViaDataSM    bool        `yaml:"via_data_sm"`  // in data_sm instead of deliver_sm
	ESMClass     *uint8      `yaml:"esm_class"`    // instead of 4, and 32 for intermediate ones
	NoReference  bool        `yaml:"no_reference"` // without the submit's user_message_reference
}

// Outcome is a final state and how often it is reached.
type Outcome struct {
	State string      `yaml:"state"` // DELIVRD, EXPIRED, DELETED, UNDELIV, ACCEPTD, UNKNOWN, REJECTD
	Error string      `yaml:"error"` // err: and, when a number, network_error_code; 000 or 001 unless set
	Rate  Probability `yaml:"rate"`
}

// Queries is how query_sm is answered.
type Queries struct {
	Refuse Status      `yaml:"refuse"` // with this status, for instance ESME_RQUERYFAIL
	Rate   Probability `yaml:"rate"`   // of those refused; 1 unless set
	Lost   Probability `yaml:"lost"`   // rate of those that are not answered
}

// Links is what happens to connections.
type Links struct {
	DropRate       Probability `yaml:"drop_rate"`       // of requests after which the connection is reset
	DropAfter      int         `yaml:"drop_after"`      // submits of a bind
	DropAt         string      `yaml:"drop_at"`         // the command that is answered with a reset: submit_sm, bind_transceiver
	DropEvery      Spread      `yaml:"drop_every"`      // of a bind's life; 0: never
	Hang           string      `yaml:"hang"`            // with hang_after: silent (nothing is answered), deaf (nothing is read either)
	HangAfter      int         `yaml:"hang_after"`      // submits of a bind
	UnbindAfter    int         `yaml:"unbind_after"`    // submits of a bind, after which it is sent unbind
	IgnoreEnquire  bool        `yaml:"ignore_enquire"`  // enquire_link is not answered
	IgnoreUnbind   bool        `yaml:"ignore_unbind"`   // unbind is not answered
	Garbage        Probability `yaml:"garbage"`         // rate, per request, of octets that are no PDU
	Truncated      Probability `yaml:"truncated"`       // rate of PDUs that are cut off, and the connection closed
	Oversized      Probability `yaml:"oversized"`       // rate of PDUs longer than any reader should take
	UnknownCommand Probability `yaml:"unknown_command"` // rate of requests of a command there is none of
	Malformed      Probability `yaml:"malformed"`       // rate of deliver_sm whose fields do not fit
	UnknownTLVs    bool        `yaml:"unknown_tlvs"`    // answers and deliveries carry unknown parameters
}

// Delivery is how deliver_sm are sent: receipts and mobile-originated messages.
type Delivery struct {
	Window  int              `yaml:"window"`  // unanswered deliver_sm per bind; 10 unless set
	Retries int              `yaml:"retries"` // of those not answered or refused for now; 3 unless set, negative: none
	Pause   options.Duration `yaml:"pause"`   // before such a retry; 1s unless set
	TPS     float64          `yaml:"tps"`     // deliver_sm a second, per account; 0: as fast as they are answered
}

// Rule is for messages that match all of its patterns; the first that does is
// taken, in place of every rate.
type Rule struct {
	To       Pattern  `yaml:"to"`
	From     Pattern  `yaml:"from"`
	Text     Pattern  `yaml:"text"`
	Status   Status   `yaml:"status"`  // of the answer
	Delay    *Spread  `yaml:"delay"`   // of the answer
	Lost     bool     `yaml:"lost"`    // no answer
	Drop     bool     `yaml:"drop"`    // the connection is reset instead of an answer
	Outcome  *Outcome `yaml:"outcome"` // of the receipt; its rate does not count
	NoReport bool     `yaml:"no_receipt"`
	Reply    string   `yaml:"reply"` // a message comes back from whom it was for
}

// over returns b with what it does not say taken from below.
func (b Behaviour) over(below Behaviour) Behaviour {
	pick(&b.Binds, below.Binds)
	pick(&b.IDs, below.IDs)
	pick(&b.Answers, below.Answers)
	pick(&b.Receipts, below.Receipts)
	pick(&b.Queries, below.Queries)
	pick(&b.Links, below.Links)
	pick(&b.Delivery, below.Delivery)
	pick(&b.Generate, below.Generate)
	pick(&b.USSD, below.USSD)
	if b.Rules == nil {
		b.Rules = below.Rules
	}
	return b
}

func pick[T any](p **T, below *T) {
	if *p == nil {
		*p = below
	}
}

// plain is what lies below everything: no group of it is nil.
func plain() Behaviour {
	return Behaviour{
		Binds: &Binds{}, IDs: &IDs{}, Answers: &Answers{}, Receipts: &Receipts{}, Queries: &Queries{}, Links: &Links{},
		Delivery: &Delivery{}, Generate: &Generate{}, USSD: &USSD{},
	}
}
