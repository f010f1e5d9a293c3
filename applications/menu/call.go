package menu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"switchboard/applications/conversation"
	"switchboard/options"
)

// Call is an HTTP request.
type Call struct {
	// URL is asked for; values in it are escaped, and in its path none may be `.`,
	// `..` or have a slash. Example:
	// `https://bank.example.org/balance?number={from}`.
	URL string `yaml:"url"`
	// Method is GET or POST. Default GET; POST where there is a body.
	Method string `yaml:"method"`
	// Headers are sent along; they may be secrets.
	Headers map[string]options.Secret `yaml:"headers"`
	// Body is sent as a JSON object of texts.
	Body map[string]string `yaml:"body"`
	// Save are variables and where their values are in the JSON answer: keys and
	// numbers joined by dots; status is the HTTP status. Example: `{balance:
	// account.balance}`.
	Save map[string]string `yaml:"save"`
	// Failed is the screen that is shown where no 2xx answer comes in ten seconds,
	// or one without what save names.
	Failed string `yaml:"failed"`
}

const callTimeout = 10 * time.Second

// fetch makes the request of a screen, and saves what came. It may be made again
// when a process dies: the header Idempotency-Key tells.
func (v *visit) fetch(ctx context.Context, screen string, c *Call) error {
	header := http.Header{"Idempotency-Key": {v.message.ID + "/" + screen}, "Accept": {"application/json"}}
	for name, value := range c.Headers {
		header.Set(name, value.Reveal())
	}
	var body []byte
	if len(c.Body) > 0 {
		filled := map[string]string{}
		for key, text := range c.Body {
			filled[key] = conversation.Fill(text, v.values)
		}
		body, _ = json.Marshal(filled) // texts always can be
		header.Set("Content-Type", "application/json")
	}
	address, err := v.address(c.URL)
	if err != nil {
		return err
	}
	answer, err := v.app.web.Do(ctx, c.Method, address, header, body)
	if err != nil {
		return err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return fmt.Errorf("the answer is HTTP %d", answer.Status)
	}
	var object any
	if len(c.Save) > 0 {
		if err := json.Unmarshal(answer.Body, &object); err != nil {
			return fmt.Errorf("the answer is no JSON: %w", err)
		}
	}
	found := map[string]string{}
	for name, path := range c.Save {
		if path == "status" {
			found[name] = strconv.Itoa(answer.Status)
			continue
		}
		if found[name], err = dig(object, path); err != nil {
			return err
		}
	}
	for name, value := range found {
		v.set(name, value)
	}
	return nil
}

// address fills a URL in such that no value leads to another path.
func (v *visit) address(text string) (string, error) {
	path, query, asks := strings.Cut(text, "?")
	var err error
	filled := conversation.Replace(path, v.values, func(value string) string {
		if value == "." || value == ".." || strings.ContainsAny(value, `/\`) {
			err = fmt.Errorf("%q in the path of url would lead to another path", value)
		}
		return url.PathEscape(value)
	})
	if asks {
		filled += "?" + conversation.Replace(query, v.values, url.QueryEscape)
	}
	return filled, err
}

// dig is a member of a JSON value as text.
func dig(value any, path string) (string, error) {
	for key := range strings.SplitSeq(path, ".") {
		switch inner := value.(type) {
		case map[string]any:
			value = inner[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(inner) {
				return "", fmt.Errorf("the answer has no %s", path)
			}
			value = inner[i]
		default:
			return "", fmt.Errorf("the answer has no %s", path)
		}
	}
	switch v := value.(type) {
	case nil:
		return "", fmt.Errorf("the answer has no %s", path)
	case string:
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", fmt.Errorf("%s is no text, number, true or false", path)
}

func (c *Call) check(names []string, screens func(string) error) error {
	errs := []error{screens(c.Failed)}
	if c.Failed == "" {
		errs = []error{options.Fieldf("failed", "is missing; write the screen that is shown when it fails")}
	}
	if c.Method == "" {
		c.Method = http.MethodGet
		if len(c.Body) > 0 {
			c.Method = http.MethodPost
		}
	}
	if c.Method != http.MethodGet && c.Method != http.MethodPost {
		errs = append(errs, options.Fieldf("method", "is %q; write GET or POST", c.Method))
	}
	filled := func(value string) (*url.URL, error) {
		return url.Parse(conversation.Replace(c.URL, nil, func(string) string { return value }))
	}
	one, err := filled("x")
	if other, _ := filled("y"); err != nil || one.Host == "" || one.Scheme != "http" && one.Scheme != "https" {
		errs = append(errs, options.Fieldf("url", "is %q; write http://… or https://…", c.URL))
	} else if other == nil || one.Host != other.Host {
		errs = append(errs, options.Fieldf("url", "must name its host; a value may not choose it"))
	}
	errs = append(errs, options.Under(conversation.CheckText(c.URL, names), "url"))
	for key, text := range c.Body {
		errs = append(errs, options.Under(conversation.CheckText(text, names), "body", key))
	}
	return errors.Join(errs...)
}
