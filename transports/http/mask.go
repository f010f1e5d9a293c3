package http

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"switchboard/internal/redact"
	"switchboard/options"
)

// mask takes secrets out of what people see: as they are, as parts of URLs and of
// JSON, and within base64.
type mask struct {
	secrets  []string
	replacer *strings.Replacer
}

// shortestSecret is how long a secret must be to be looked for: shorter ones are in
// every text.
const shortestSecret = 4

func newMask(secrets map[string]options.Secret, more ...options.Secret) *mask {
	m := &mask{}
	var pairs []string
	for _, s := range secrets {
		more = append(more, s)
	}
	for _, s := range more {
		secret := s.Reveal()
		if len(secret) < shortestSecret {
			continue
		}
		m.secrets = append(m.secrets, secret)
		quoted, _ := json.Marshal(secret) // a text: cannot fail
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), escape(secret), string(quoted[1 : len(quoted)-1])} {
			pairs = append(pairs, form, redact.Mask)
		}
	}
	m.replacer = strings.NewReplacer(pairs...)
	return m
}

var base64Word = regexp.MustCompile(`[A-Za-z0-9+/_-]{6,}={0,2}`)

// text is a text without secrets.
func (m *mask) text(text string) string {
	if m == nil || len(m.secrets) == 0 {
		return redact.Text(text)
	}
	text = m.replacer.Replace(text)
	text = base64Word.ReplaceAllStringFunc(text, func(word string) string {
		for _, coding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
			inner, err := coding.DecodeString(word)
			if err != nil {
				continue
			}
			for _, secret := range m.secrets {
				if strings.Contains(string(inner), secret) {
					return redact.Mask
				}
			}
		}
		return word
	})
	return redact.Text(text)
}
