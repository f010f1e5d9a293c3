package http

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"switchboard/internal/catalogue"
	"switchboard/options"
)

// Description is what one HTTP provider speaks. docs/channels-http.md shows one
// piece by piece. What is picked (id, from, when …) is an expression; what is made
// (form, json, headers, answers …) is a text, or an expression behind a "=".
type Description struct {
	// About is one line that says whose interface this is.
	About string `yaml:"about"`
	// Docs is where the provider documents it.
	Docs string `yaml:"docs"`
	// TransportType is the messages' transport_type. Default sms.
	TransportType string `yaml:"transport_type"`
	// Options are what an operator sets under options, by name.
	Options options.Map[Setting] `yaml:"options"`
	// Secrets are what an operator sets under secrets.
	Secrets options.Map[Setting] `yaml:"secrets"`
	// Receive says what is answered at which path; the first that matches counts.
	Receive []Route `yaml:"receive"`
	// Poll says what is asked of the provider, where poll is on.
	Poll []Poll `yaml:"poll"`
	// Send says how messages are sent.
	Send *Send `yaml:"send"`
	// Errors is the catalogue: the provider's codes, and what they mean.
	Errors options.Map[Problem] `yaml:"errors"`
}

// Setting is an option or a secret of a description. Without a default it must
// be given.
type Setting struct {
	About   string  `yaml:"about"`
	Default *string `yaml:"default"`
}

// Route answers requests. Path is below web_path; Read is the body's shape (form,
// json, xml, text), by default what its Content-Type says.
type Route struct {
	Path      string              `yaml:"path"`
	Methods   options.Names       `yaml:"methods"`
	When      string              `yaml:"when"`
	Read      string              `yaml:"read"`
	FoldNames bool                `yaml:"fold_names"`
	Check     []Check             `yaml:"check"`
	Messages  []MessagePick       `yaml:"messages"`
	Receipts  []ReceiptPick       `yaml:"receipts"`
	Hand      *Hand               `yaml:"hand"`
	Taken     string              `yaml:"taken"` // picks the ids that the phone has taken
	Answer    Answer              `yaml:"answer"`
	Reply     *Answer             `yaml:"reply"` // is answered where a reply comes within reply_wait
	Error     *Answer             `yaml:"error"`
	Headers   options.Map[string] `yaml:"headers"`
}

// Check is a signature or token that a request must carry. It counts where its
// key or token is given.
type Check struct {
	When      string           `yaml:"when"`
	Value     string           `yaml:"value"`  // picks what the request carries; of a list, one must be right
	Equals    string           `yaml:"equals"` // the token it must be
	With      string           `yaml:"with"`   // hmac-sha256 …, md5, ed25519, jwt
	Key       string           `yaml:"key"`
	Over      options.Names    `yaml:"over"`     // picks what is signed; one must be right
	Encoding  string           `yaml:"encoding"` // hex or base64
	Timestamp string           `yaml:"timestamp"`
	Window    options.Duration `yaml:"window"` // how far the timestamp may be from now
	Claims    string           `yaml:"claims"` // what must hold of a JWT's claims
}

// MessagePick makes messages of a request or an answer: one of each item.
type MessagePick struct {
	When      string              `yaml:"when"`
	Each      string              `yaml:"each"`
	ID        string              `yaml:"id"`
	Replay    string              `yaml:"replay"` // what a repeated request repeats; the id
	MessageID string              `yaml:"message_id"`
	From      string              `yaml:"from"`
	To        string              `yaml:"to"`
	Text      string              `yaml:"text"`
	Time      string              `yaml:"time"`
	Group     string              `yaml:"group"`
	Provider  string              `yaml:"provider"`
	Session   string              `yaml:"session"`
	Metadata  options.Map[string] `yaml:"metadata"`
	Part      *Part               `yaml:"part"`
}

// Part picks what joins the parts of a long message.
type Part struct {
	Reference string `yaml:"reference"`
	Number    string `yaml:"number"`
	Total     string `yaml:"total"`
}

// ReceiptPick makes delivery reports.
type ReceiptPick struct {
	When    string `yaml:"when"`
	Each    string `yaml:"each"`
	ID      string `yaml:"id"`      // the provider's id of what was sent
	Message string `yaml:"message"` // our own, where the provider brings it back
	Status  string `yaml:"status"`
	// Delivered, Failed, Pending and Ignored are the provider's words for each.
	Delivered options.Names `yaml:"delivered"`
	Failed    options.Names `yaml:"failed"`
	Pending   options.Names `yaml:"pending"`
	Ignored   options.Names `yaml:"ignored"`
	Code      string        `yaml:"code"`
	Detail    string        `yaml:"detail"`
	Time      string        `yaml:"time"`
	// Parts is how many parts must be delivered before the message is, where
	// the provider reports each under one id.
	Parts string `yaml:"parts"`
	// Replay is what a repeated receipt repeats; default its status and code.
	Replay string `yaml:"replay"`
}

// Answer is what is answered.
type Answer struct {
	Status int    `yaml:"status"`
	Type   string `yaml:"type"`
	Body   any    `yaml:"body"`
}

// Hand gives waiting messages to a phone that fetches them.
type Hand struct {
	// Message is what the phone gets of each.
	Message any `yaml:"message"`
}

// Call is a request that is made.
type Call struct {
	URL     string              `yaml:"url"`
	Method  string              `yaml:"method"`
	Headers options.Map[string] `yaml:"headers"`
	Query   options.Map[string] `yaml:"query"`
	Form    options.Map[string] `yaml:"form"`
	JSON    any                 `yaml:"json"`
	Body    string              `yaml:"body"`
	Type    string              `yaml:"type"` // of body
	Read    string              `yaml:"read"` // the answer's shape
}

// Poll asks the provider for what has come.
type Poll struct {
	Call     `yaml:",inline"`
	Every    options.Duration `yaml:"every"`
	Cursor   string           `yaml:"cursor"` // picked from each item; the next call has it as cursor
	Messages []MessagePick    `yaml:"messages"`
	Receipts []ReceiptPick    `yaml:"receipts"`
}

// Send is the request that sends a message, and how its answer is read.
type Send struct {
	Call `yaml:",inline"`
	// Fetched says that nothing is called: a phone fetches what waits.
	Fetched bool `yaml:"fetched"`
	// MaxLength is how many characters one request takes; longer texts are split.
	MaxLength int `yaml:"max_length"`
	// Recipients is how many people one request may have.
	Recipients int     `yaml:"recipients"`
	Rate       float64 `yaml:"rate"`    // requests a second, unless mt_tps says it
	Each       string  `yaml:"each"`    // the results in an answer with several
	Address    string  `yaml:"address"` // whose result it is; else they are in order
	OK         string  `yaml:"ok"`      // default: the status is 2xx
	ID         string  `yaml:"id"`
	Code       string  `yaml:"code"`
	Detail     string  `yaml:"detail"`
	Wait       string  `yaml:"wait"` // seconds to wait when throttled; else Retry-After
	// Refuse says why the provider could never take the message, or nothing.
	Refuse string `yaml:"refuse"`
	Moved  string `yaml:"moved"` // picks the address that a person has now; it is sent there
}

// Class is what becomes of a message or a line by a provider's answer.
type Class = catalogue.Class

// Problem is what a provider's code means.
type Problem = catalogue.Problem

// The classes.
const (
	Sent      = catalogue.Sent
	Pending   = catalogue.Pending
	Temporary = catalogue.Temporary
	Throttled = catalogue.Throttled
	Blocked   = catalogue.Blocked
	Permanent = catalogue.Permanent
	Unknown   = catalogue.Unknown
	Alert     = catalogue.Alert
)

//go:embed presets/*.yaml
var presets embed.FS

// commonFile holds the meaning of HTTP's own statuses.
const commonFile = "http"

// Presets are the names of the descriptions that come with the program.
func Presets() []string {
	entries, _ := fs.ReadDir(presets, "presets") // embedded: cannot fail
	var names []string
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".yaml"); name != commonFile {
			names = append(names, name)
		}
	}
	return names
}

// Text is a description's YAML: a preset's by its name, or a file's by its path.
func Text(provider string) ([]byte, error) {
	if strings.ContainsAny(provider, `/\`) || strings.HasSuffix(provider, ".yaml") || strings.HasSuffix(provider, ".yml") {
		return os.ReadFile(provider)
	}
	text, err := presets.ReadFile(path.Join("presets", provider+".yaml"))
	if err != nil || provider == commonFile {
		return nil, fmt.Errorf("%q is no preset%s; they are %s, or write the path of a file: ./mine.yaml",
			provider, options.DidYouMean(provider, Presets()), strings.Join(Presets(), ", "))
	}
	return text, nil
}

// Load reads a description by its name or path.
func Load(provider string) (*Description, *options.Document, error) {
	text, err := Text(provider)
	if err != nil {
		return nil, nil, err
	}
	doc, err := options.Parse(provider, text, os.LookupEnv)
	if err != nil {
		return nil, nil, err
	}
	d := &Description{TransportType: "sms"}
	if err := errors.Join(doc.Into(d), doc.Rest()); err != nil {
		return nil, nil, err
	}
	return d, doc, nil
}

// Common is the meaning of HTTP's own statuses, under "HTTP 429".
func Common() options.Map[Problem] {
	text, err := presets.ReadFile("presets/" + commonFile + ".yaml")
	if err != nil {
		panic(err) // embedded
	}
	doc, err := options.Parse(commonFile, text, os.LookupEnv)
	if err != nil {
		panic(err)
	}
	var d Description
	if err := errors.Join(doc.Into(&d), doc.Rest()); err != nil {
		panic(err)
	}
	return d.Errors
}

// problems is what codes mean.
type problems map[string]Problem

func newProblems(d *Description) problems {
	c := problems{}
	for _, list := range []options.Map[Problem]{Common(), d.Errors} {
		for _, p := range list {
			c[p.Key] = p.Value
		}
	}
	return c
}

// of is what a code or an HTTP status means. A code that nobody knows goes by
// the status: 5xx may pass, and what else is no success does not.
func (c problems) of(code string, status int) Problem {
	if p, known := c[code]; known && code != "" {
		return p
	}
	if p, known := c[fmt.Sprintf("HTTP %d", status)]; known {
		return p
	}
	if status >= 500 {
		return Problem{Class: Temporary, Text: "The provider has a fault of its own.", Do: "Nothing: it is tried again."}
	}
	return Problem{Class: Permanent, Text: "The provider refused the message.", Do: "Read what the provider says; `switchboard trace` has its answer."}
}
