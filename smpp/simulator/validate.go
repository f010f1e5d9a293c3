package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"switchboard/options"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

// Read reads settings from a YAML file. Unknown keys and impossible values are
// refused, with file and line.
func Read(path string) (Settings, error) {
	doc, err := options.Read(path)
	if err != nil {
		return Settings{}, err
	}
	return decode(doc)
}

// Parse is Read of a text; name is for errors. Variables are not expanded.
func Parse(name string, text []byte) (Settings, error) {
	doc, err := options.Parse(name, text, func(string) (string, bool) { return "", false })
	if err != nil {
		return Settings{}, err
	}
	return decode(doc)
}

func decode(doc *options.Document) (s Settings, err error) {
	if err := errors.Join(doc.Into(&s), doc.Rest()); err != nil {
		return Settings{}, err
	}
	if err := s.Validate(); err != nil {
		return Settings{}, doc.Locate(err)
	}
	return s, nil
}

// Validate checks the settings.
func (s Settings) Validate() error {
	errs := []error{oneOf(s.Version, nil, "version", "3.3", "3.4", "5.0")}
	if (s.Certificate == "") != (s.Key == "") {
		errs = append(errs, options.Fieldf("certificate", "needs key, and key needs certificate"))
	}
	errs = append(errs, s.Behaviour.validate("behaviour"))
	names := map[string]bool{}
	for i, a := range s.Accounts {
		at := []string{"accounts", strconv.Itoa(i)}
		if a.SystemID == "" || names[a.SystemID] {
			errs = append(errs, options.Field(errors.New("is missing, or another account has it too"), append(at, "system_id")...))
		}
		names[a.SystemID] = true
		errs = append(errs, a.Behaviour.validate(append(at, "behaviour")...))
	}
	for i, p := range s.Phases {
		at := []string{"phases", strconv.Itoa(i)}
		errs = append(errs, p.Behaviour.validate(append(at, "behaviour")...))
		if p.Account != "" && !names[p.Account] {
			errs = append(errs, options.Field(fmt.Errorf("there is no account %q", p.Account), append(at, "account")...))
		}
		if p.Every > 0 && (p.For <= 0 || p.For >= p.Every) {
			errs = append(errs, options.Field(errors.New("must be longer than for, which must be set"), append(at, "every")...))
		}
	}
	return errors.Join(errs...)
}

func (b Behaviour) validate(at ...string) error {
	at = slices.Clip(at)
	var errs []error
	if i := b.IDs; i != nil {
		errs = append(errs, field(checkIDFormat(i.Format), at, "ids", "format"), field(checkIDFormat(i.InReceipts), at, "ids", "in_receipts"))
	}
	if r := b.Receipts; r != nil {
		errs = append(errs, r.validate(append(at, "receipts")))
	}
	if l := b.Links; l != nil {
		errs = append(errs, oneOf(l.Hang, append(at, "links"), "hang", "silent", "deaf"), field(checkCommand(l.DropAt), at, "links", "drop_at"))
	}
	if g := b.Generate; g != nil {
		errs = append(errs, g.validate(append(at, "generate")))
	}
	for i, r := range b.Rules {
		if r.Outcome != nil {
			errs = append(errs, field(checkState(r.Outcome.State), at, "rules", strconv.Itoa(i), "outcome", "state"))
		}
	}
	return errors.Join(errs...)
}

func (conf *Receipts) validate(at []string) error {
	errs := []error{
		oneOf(conf.Form, at, "form", "both", "tlv", "text", "none"),
		oneOf(conf.Style, at, "style", "standard", "lower", "seconds", "minimal", "padded"),
	}
	for i, o := range conf.Outcomes {
		errs = append(errs, field(checkState(o.State), at, "outcomes", strconv.Itoa(i), "state"))
	}
	return errors.Join(errs...)
}

func (g *Generate) validate(at []string) error {
	var errs []error
	for i, m := range g.Methods {
		_, err := parseMethod(m)
		errs = append(errs, field(err, at, "methods", strconv.Itoa(i)))
	}
	if g.Coding != "" {
		_, err := gsm.ParseCoding(g.Coding)
		errs = append(errs, field(err, at, "coding"))
	}
	return errors.Join(errs...)
}

func field(err error, at []string, keys ...string) error {
	if err == nil {
		return nil
	}
	return options.Field(err, append(slices.Clip(at), keys...)...)
}

// oneOf refuses words that mean nothing; the empty one is for what is usual.
func oneOf(word string, at []string, key string, known ...string) error {
	if word == "" || slices.Contains(known, word) {
		return nil
	}
	return field(fmt.Errorf("%q is none of %s%s", word, strings.Join(known, ", "), options.DidYouMean(word, known)), at, key)
}

func checkState(name string) error {
	o := Outcome{State: name}
	if o.state() == pdu.StateUnknown && !strings.EqualFold(name, receipt.Word(pdu.StateUnknown)) {
		return fmt.Errorf("%q is no state of a receipt: write DELIVRD, EXPIRED, DELETED, UNDELIV, ACCEPTD, UNKNOWN or REJECTD", name)
	}
	return nil
}

func checkCommand(name string) error {
	if name == "" {
		return nil
	}
	for c := pdu.CommandID(1); c <= pdu.CmdDataSM; c++ {
		if c.Known() && c.String() == name {
			return nil
		}
	}
	return fmt.Errorf("no command is called %q: write submit_sm, bind_transceiver, enquire_link …", name)
}

// ParseBehaviour reads what stands under "behaviour:"; name is for errors.
func ParseBehaviour(name string, text []byte) (b Behaviour, err error) {
	doc, err := options.Parse(name, text, func(string) (string, bool) { return "", false })
	if err != nil {
		return b, err
	}
	if err := errors.Join(doc.Into(&b), doc.Rest()); err != nil {
		return b, err
	}
	return b, doc.Locate(b.validate())
}
