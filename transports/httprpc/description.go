package httprpc

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	nethttp "net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"switchboard/options"
	"switchboard/transports/http"
)

// Description is how one gateway asks, and how it is answered. What is picked (from,
// session …) is an expression; what is made (answers, headers) is a text, or an
// expression behind a "=". They are those of transport http.
type Description struct {
	// About is one line that says whose interface this is.
	About string `yaml:"about"`
	// Docs is where the gateway is documented.
	Docs string `yaml:"docs"`
	// TransportType is the messages' transport_type. Default ussd.
	TransportType string `yaml:"transport_type"`
	// Provider is the messages' provider.
	Provider string `yaml:"provider"`
	// WebPath is the path below which the gateway asks, unless the file says another.
	WebPath string `yaml:"web_path"`
	// Options and Secrets are what an operator sets, by name.
	Options options.Map[http.Setting] `yaml:"options"`
	Secrets options.Map[http.Setting] `yaml:"secrets"`
	// Receive says what is answered at which path.
	Receive []Route `yaml:"receive"`
}

// Route answers the requests of a path.
type Route struct {
	Path    string        `yaml:"path"`
	Methods options.Names `yaml:"methods"`
	Read    string        `yaml:"read"` // the body's shape: form, json, xml, text
	// Fields must be there, Ignored may; others are refused where validation_mode is
	// strict. Without either all are taken.
	Fields  options.Names `yaml:"fields"`
	Ignored options.Names `yaml:"ignored"`
	// Cases are tried in order: the first whose when holds says what the request is.
	Cases []Case `yaml:"cases"`
	// Reply is the answer that a message's reply makes; Answer that of requests that
	// wait for none, Error that of those that are refused.
	Reply  Answer  `yaml:"reply"`
	Answer Answer  `yaml:"answer"`
	Error  *Answer `yaml:"error"`
}

// Case is one kind of request. Expressions know, beside the request: known, whether its
// session is known, and of that to and last.
type Case struct {
	When    string `yaml:"when"`
	Session string `yaml:"session"` // picks the session's name; none: there are no sessions
	Event   string `yaml:"event"`   // new, resume, close, none; default by whether it is known
	// Refuse picks why the request is refused, Status its status, default 400.
	Refuse   string              `yaml:"refuse"`
	Status   int                 `yaml:"status"`
	Silent   bool                `yaml:"silent"` // it makes no message
	ID       string              `yaml:"id"`     // picks the message's ID, where the gateway has one
	From     string              `yaml:"from"`
	To       string              `yaml:"to"`
	Text     string              `yaml:"text"`
	Group    string              `yaml:"group"`
	Provider string              `yaml:"provider"`
	Last     string              `yaml:"last"` // picks what the next request of the session sees as last
	Metadata options.Map[string] `yaml:"metadata"`
	Helper   options.Map[string] `yaml:"helper_metadata"`
	Answer   *Answer             `yaml:"answer"` // at once, in place of the route's
}

// Answer is what is answered.
type Answer struct {
	Status  int                 `yaml:"status"`
	Type    string              `yaml:"type"`
	Headers options.Map[string] `yaml:"headers"`
	Body    any                 `yaml:"body"`
}

//go:embed presets/*.yaml
var presets embed.FS

// Presets are the names of the descriptions that come with the program.
func Presets() []string {
	entries, _ := fs.ReadDir(presets, "presets") // embedded: cannot fail
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Load reads a description: a preset by its name, or a file by its path.
func Load(provider string) (*Description, *options.Document, error) {
	read := presets.ReadFile
	name := path.Join("presets", provider+".yaml")
	if strings.ContainsAny(provider, `/\`) || strings.HasSuffix(provider, ".yaml") || strings.HasSuffix(provider, ".yml") {
		read, name = os.ReadFile, provider
	} else if !slices.Contains(Presets(), provider) {
		return nil, nil, fmt.Errorf("%q is no preset%s; they are %s, or write the path of a file: ./mine.yaml",
			provider, options.DidYouMean(provider, Presets()), strings.Join(Presets(), ", "))
	}
	text, err := read(name)
	if err != nil {
		return nil, nil, err
	}
	doc, err := options.Parse(provider, text, os.LookupEnv)
	if err != nil {
		return nil, nil, err
	}
	d := &Description{TransportType: "ussd", WebPath: "/"}
	return d, doc, errors.Join(doc.Into(d), doc.Rest())
}

var (
	requestNames = []string{"method", "raw", "query", "form", "fields", "headers", "body", "path", "known", "to", "last", "defaults", "suffix_to_addrs", "transport_name"}
	replyNames   = slices.Concat(requestNames, []string{"content", "ends", "session"})
	errorNames   = slices.Concat(requestNames, []string{"status", "reason", "missing", "unexpected"})
)

// dialogue is a description ready for use with an operator's options.
type dialogue struct {
	*Description
	settings http.Scope
	webPath  string
	routes   []*route
}

type route struct {
	Route
	cases                []*oneCase
	reply, answer, error answer
}

type oneCase struct {
	Case
	when, session, event, refuse, id, from, to, text, group, provider, last http.Value
	metadata, helper                                                        []pair
	answer                                                                  *answer
}

type pair struct {
	key   string
	value http.Value
}

type answer struct {
	status  int
	kind    string
	headers []pair
	body    http.Value
}

// compiler gathers what is wrong with a description.
type compiler struct {
	at   []string
	errs *[]error
}

func (c compiler) in(keys ...string) compiler {
	return compiler{append(slices.Clone(c.at), keys...), c.errs}
}

func (c compiler) fail(err error, key string) {
	if err != nil {
		*c.errs = append(*c.errs, options.Field(err, append(slices.Clone(c.at), key)...))
	}
}

func (c compiler) pick(e http.Expressions, key, source string) http.Value {
	v, err := e.Pick(source)
	c.fail(err, key)
	return v
}

func (c compiler) value(e http.Expressions, key string, source any) http.Value {
	v, err := e.Value(source)
	c.fail(err, key)
	return v
}

func (c compiler) pairs(list options.Map[string], compile func(key, source string) http.Value) (all []pair) {
	for _, p := range list {
		all = append(all, pair{p.Key, compile(p.Key, p.Value)})
	}
	return all
}

// compile makes the transport's description ready.
func (t *Transport) compile() (*dialogue, error) {
	d, doc, err := Load(t.Provider)
	if err != nil {
		return nil, options.Field(err, "provider")
	}
	settings, err := t.settings(d)
	if err != nil {
		return nil, err
	}
	made := &dialogue{Description: d, settings: settings, webPath: cmp.Or(t.WebPath, d.WebPath)}
	texts := http.Scope{}
	for name, value := range settings {
		if _, text := value.(string); text && !slices.Contains(requestNames, name) {
			texts[name] = value
		}
	}
	request, reply, failed := http.NewExpressions(requestNames, texts), http.NewExpressions(replyNames, texts), http.NewExpressions(errorNames, texts)
	var errs []error
	for i, r := range d.Receive {
		c := compiler{[]string{"receive", strconv.Itoa(i)}, &errs}
		one := &route{Route: r, reply: c.answer(reply, "reply", r.Reply), answer: c.answer(reply, "answer", r.Answer)}
		if one.Path == "" {
			one.Path = "/"
		}
		if len(one.Methods) == 0 {
			one.Methods = options.Names{"GET", "POST"}
		}
		if r.Error == nil { // as Vumi's
			r.Error = &Answer{Type: "application/json", Body: map[string]any{"missing_parameter": "=missing", "unexpected_parameter": "=unexpected", "error": "=missing == nil and unexpected == nil ? reason : nil"}}
		}
		one.error = c.answer(failed, "error", *r.Error)
		for j, k := range r.Cases {
			one.cases = append(one.cases, c.in("cases", strconv.Itoa(j)).oneCase(request, reply, k))
		}
		made.routes = append(made.routes, one)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, options.Field(doc.Locate(err), "provider")
	}
	return made, nil
}

func (c compiler) oneCase(e, reply http.Expressions, k Case) *oneCase {
	one := &oneCase{
		Case: k, when: c.pick(e, "when", k.When), session: c.pick(e, "session", k.Session), event: c.pick(e, "event", k.Event),
		refuse: c.pick(e, "refuse", k.Refuse), id: c.pick(e, "id", k.ID), from: c.pick(e, "from", k.From), to: c.pick(e, "to", k.To),
		text: c.pick(e, "text", k.Text), group: c.pick(e, "group", k.Group), provider: c.pick(e, "provider", k.Provider), last: c.pick(e, "last", k.Last),
		metadata: c.pairs(k.Metadata, func(key, source string) http.Value { return c.in("metadata").pick(e, key, source) }),
		helper:   c.pairs(k.Helper, func(key, source string) http.Value { return c.in("helper_metadata").pick(e, key, source) }),
	}
	if k.Answer != nil {
		a := c.answer(reply, "answer", *k.Answer)
		one.answer = &a
	}
	if k.From == "" && !k.Silent && k.Refuse == "" {
		c.fail(errors.New("is missing: a message comes from somebody"), "from")
	}
	return one
}

func (c compiler) answer(e http.Expressions, key string, a Answer) answer {
	c = c.in(key)
	return answer{
		a.Status, a.Type, c.pairs(a.Headers, func(name, source string) http.Value { return c.in("headers").value(e, name, source) }),
		c.value(e, "body", a.Body),
	}
}

// settings are the options and secrets of a description with the operator's values, and
// those of Vumi's options that it has.
func (t *Transport) settings(d *Description) (http.Scope, error) {
	given := map[string]string{
		"airtel_username": t.AirtelUsername, "airtel_password": t.AirtelPassword.Reveal(), "airtel_charge": "N",
		"airtel_charge_amount": strconv.Itoa(t.AirtelChargeAmount), "to_addr_pattern": t.ToAddrPattern, "fix_to_addr": strconv.FormatBool(t.FixToAddr),
		"user_terminated_session_message": t.UserTerminatedSessionMessage, "user_terminated_session_response": t.UserTerminatedSessionResponse,
		"ussd_string_prefix": t.USSDStringPrefix, "web_host": t.WebHost, "web_path": cmp.Or(t.WebPath, d.WebPath),
	}
	if t.AirtelCharge {
		given["airtel_charge"] = "Y"
	}
	s := http.Scope{"transport_name": t.TransportName, "defaults": texts(t.FieldDefaults), "suffix_to_addrs": texts(t.SuffixToAddrs)}
	var errs []error
	known := map[string][]string{}
	for _, part := range []struct {
		key      string
		declared options.Map[http.Setting]
		own      func(string) (string, bool)
	}{
		{"options", d.Options, func(name string) (string, bool) { v, ok := t.Options[name]; return v, ok }},
		{"secrets", d.Secrets, func(name string) (string, bool) { v, ok := t.Secrets[name]; return v.Reveal(), ok }},
	} {
		for _, p := range part.declared {
			known[part.key] = append(known[part.key], p.Key)
			value, there := part.own(p.Key)
			vumi, isVumi := given[p.Key]
			switch {
			case there:
				s[p.Key] = value
			case isVumi && vumi != "":
				s[p.Key] = vumi
			case p.Value.Default == nil:
				errs = append(errs, options.Fieldf(part.key, "%s is missing: %s", p.Key, p.Value.About))
			default:
				s[p.Key] = *p.Value.Default
			}
		}
	}
	for name := range t.Options {
		errs = append(errs, t.unknown("options", name, known["options"]))
	}
	for name := range t.Secrets {
		errs = append(errs, t.unknown("secrets", name, known["secrets"]))
	}
	return s, errors.Join(errs...)
}

func (t *Transport) unknown(key, name string, known []string) error {
	if slices.Contains(known, name) {
		return nil
	}
	return options.Field(fmt.Errorf("%s has none of this name%s; it has %s",
		t.Provider, options.DidYouMean(name, known), cmp.Or(strings.Join(known, ", "), "none")), key, name)
}

func texts(from map[string]string) map[string]any {
	all := make(map[string]any, len(from))
	for key, value := range from {
		all[key] = value
	}
	return all
}

// checks says whether the description's requests must carry a secret that is set.
func (d *dialogue) checks(t *Transport) bool {
	for _, p := range d.Secrets {
		if value, _ := d.settings[p.Key].(string); value != "" {
			return true
		}
	}
	return false
}

const plainText = "text/plain; charset=utf-8"

// write writes an answer: a text as it is, and what is no text as JSON.
func (a *answer) write(w nethttp.ResponseWriter, s http.Scope, status int) error {
	value, err := a.body.Of(s)
	if err != nil {
		return err
	}
	kind := plainText
	text, is := value.(string)
	if !is && value != nil {
		kind = "application/json"
		encoded, err := json.Marshal(value)
		if err != nil {
			return err
		}
		text = string(encoded)
	}
	for _, h := range a.headers {
		value, err := h.value.Text(s)
		if err != nil {
			return err
		}
		w.Header().Set(h.key, value)
	}
	w.Header().Set("Content-Type", cmp.Or(a.kind, kind))
	w.WriteHeader(cmp.Or(a.status, status))
	_, err = w.Write([]byte(text))
	return err
}
