package routers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// ContentKeyword routes inbound messages by their first word: Vumi's
// ContentKeywordRouter. Case does not count. Every rule that matches sends a
// copy, at most one to each exposed name; an outbound message goes to the
// transport of its from_addr.
type ContentKeyword struct {
	// KeywordMappings gives exposed names one keyword each; they come after
	// rules. Example: `{jokes: joke, surveys: join}`.
	KeywordMappings options.Map[string] `yaml:"keyword_mappings"`
	// Rules are keywords with conditions. Example:
	// `[{app: jokes, keyword: joke, to_addr: "12345", prefix: "+27"}]`.
	Rules []KeywordRule `yaml:"rules"`
	// FallbackApplication is the exposed name that gets what no rule matches.
	// Default: none, which sets such messages aside.
	FallbackApplication string `yaml:"fallback_application"`
	// TransportMappings says which transport sends for a from_addr. Example:
	// `{"12345": smpp_za}`.
	TransportMappings options.Map[string] `yaml:"transport_mappings"`
	// DispatcherName is Vumi's prefix for what it remembers. It is accepted and
	// has no effect: the worker's own name takes its place.
	DispatcherName string `yaml:"dispatcher_name"`

	byKeyword  map[string][]keywordTarget
	transports map[string]string
	exposed    exposed
}

// KeywordRule sends messages whose first word is Keyword to App.
type KeywordRule struct {
	// App is the exposed name.
	App string `yaml:"app"`
	// Keyword is the first word.
	Keyword string `yaml:"keyword"`
	// ToAddr is what the to_addr must be. Default: anything.
	ToAddr *string `yaml:"to_addr"`
	// Prefix is what the from_addr must begin with. Default: anything.
	Prefix string `yaml:"prefix"`
}

type keywordTarget struct {
	KeywordRule
	target dispatcher.Target
}

var (
	_ dispatcher.Router  = (*ContentKeyword)(nil)
	_ dispatcher.Checker = (*ContentKeyword)(nil)
)

// NewContentKeyword is a ContentKeyword with its defaults.
func NewContentKeyword() *ContentKeyword { return &ContentKeyword{} }

// Validate checks the options by themselves.
func (r *ContentKeyword) Validate() error {
	var errs []error
	for i, rule := range r.Rules {
		errs = append(errs, checkWord(rule.Keyword, "rules", strconv.Itoa(i), "keyword"))
	}
	for _, pair := range r.KeywordMappings {
		errs = append(errs, checkWord(pair.Value, "keyword_mappings", pair.Key))
	}
	if len(r.Rules)+len(r.KeywordMappings) == 0 && r.FallbackApplication == "" {
		errs = append(errs, options.Fieldf("keyword_mappings", "is missing, and so are rules and fallback_application; write at least one of them"))
	}
	return errors.Join(errs...)
}

func checkWord(keyword string, keys ...string) error {
	if keyword == "" || firstWord(keyword) != strings.ToLower(keyword) {
		return options.Field(fmt.Errorf("%q is not one word, so no message begins with it", keyword), keys...)
	}
	return nil
}

// Check checks the options against the dispatcher's connectors.
func (r *ContentKeyword) Check(names dispatcher.Names) error {
	var err error
	r.exposed = exposedOf(names)
	r.transports, err = flat(r.TransportMappings, names.Transports, "transport_names", "transport_mappings")
	errs := []error{err}
	if r.FallbackApplication != "" {
		errs = append(errs, checkTarget(r.FallbackApplication, "exposed_names", names.Exposed, "fallback_application"))
	}
	r.byKeyword = map[string][]keywordTarget{}
	for i, keyword := range r.Rules {
		r.add(keyword, "rules", strconv.Itoa(i))
		errs = append(errs, checkTarget(keyword.App, "exposed_names", names.Exposed, "rules", strconv.Itoa(i), "app"))
	}
	for _, pair := range r.KeywordMappings {
		r.add(KeywordRule{App: pair.Key, Keyword: pair.Value}, "keyword_mappings", pair.Key)
		errs = append(errs, checkTarget(pair.Key, "exposed_names", names.Exposed, "keyword_mappings", pair.Key))
	}
	return errors.Join(errs...)
}

func (r *ContentKeyword) add(k KeywordRule, keys ...string) {
	word := strings.ToLower(k.Keyword)
	r.byKeyword[word] = append(r.byKeyword[word], keywordTarget{k, ruled(rule(keys...), k.App)[0]})
}

// Route routes inbound messages by their first word, outbound ones by from_addr.
func (r *ContentKeyword) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	switch a.Flow {
	case message.Outbound:
		return r.outbound(&a)
	case message.EventFlow:
		return r.exposed.event(&a)
	}
	word := firstWord(a.Message.Content)
	var targets []dispatcher.Target
	for _, k := range r.byKeyword[word] {
		if k.matches(a.Message) && !slices.ContainsFunc(targets, k.reaches) {
			targets = append(targets, k.target)
		}
	}
	switch {
	case targets != nil:
		return targets, nil
	case r.FallbackApplication != "":
		return ruled("fallback_application", r.FallbackApplication), nil
	}
	return nil, refuse(&a, "no keyword matches it, and there is no fallback_application")
}

func (k *keywordTarget) matches(m *message.Message) bool {
	return (k.ToAddr == nil || m.To == *k.ToAddr) && strings.HasPrefix(m.From, k.Prefix)
}

func (k *keywordTarget) reaches(t dispatcher.Target) bool { return t.Connector == k.App }

func (r *ContentKeyword) outbound(a *dispatcher.Arrival) ([]dispatcher.Target, error) {
	transport, found := r.transports[a.Message.From]
	if !found {
		return nil, refuse(a, "transport_mappings has no transport for its from_addr %q", a.Message.From)
	}
	return ruled(rule("transport_mappings", a.Message.From), transport), nil
}

// firstWord is the first word of a text in lower case; "" when there is none.
func firstWord(text string) string {
	text = strings.TrimLeft(text, spaces)
	if end := strings.IndexAny(text, spaces); end >= 0 {
		text = text[:end]
	}
	return strings.ToLower(text)
}

const spaces = " \t\r\n\v\f\u00a0"
