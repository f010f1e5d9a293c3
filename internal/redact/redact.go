// Package redact takes passwords out of texts that people see: addresses of
// servers, errors, log lines.
package redact

import (
	"net/http"
	"regexp"
	"strings"
)

// Mask stands in a password's place.
const Mask = "…"

var (
	// userinfo is user:password@ of a URL (RFC 3986 §3.2.1). A password may hold
	// an @ that was not escaped: all up to the last one is taken.
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s:@/?#"']*):[^\s"']*@`)
	// assigned is a secret under its name: password=… of a PostgreSQL connection
	// string or of a URL's query; quoted values with their blanks
	// (libpq §34.1.1.1).
	assigned = regexp.MustCompile(`(?i)\b((?:\w*_)?(?:password|passwd|passfile|pwd|sslpassword|secret|token|api_?key))(\s*=\s*)` +
		`('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&'"#]+)`)
)

// Text returns text with every password in it masked.
func Text(text string) string {
	if strings.Contains(text, "://") {
		text = userinfo.ReplaceAllString(text, "${1}:"+Mask+"@")
	}
	if strings.Contains(text, "=") {
		text = assigned.ReplaceAllString(text, "${1}${2}"+Mask)
	}
	return text
}

// Response masks what is written to an HTTP response, each write by itself.
type Response struct{ http.ResponseWriter }

// Write masks the passwords in text.
func (r Response) Write(text []byte) (int, error) {
	if _, err := r.ResponseWriter.Write([]byte(Text(string(text)))); err != nil {
		return 0, err
	}
	return len(text), nil
}
