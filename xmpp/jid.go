package xmpp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// JID is an address, prepared for comparing (RFC 7622). The zero value is none.
type JID struct{ Local, Domain, Resource string }

// maxPart is the longest part of a JID in octets (RFC 7622 §3).
const maxPart = 1023

// ParseJID reads and prepares an address.
func ParseJID(text string) (JID, error) {
	j, err := parseJID(text)
	if err != nil {
		return JID{}, fmt.Errorf("%.100q is no JID: %w", text, err)
	}
	return j, nil
}

func parseJID(text string) (j JID, err error) {
	rest, resource, full := strings.Cut(text, "/")
	if full && resource == "" {
		return j, errors.New("its resource is empty")
	}
	if full {
		if j.Resource, err = precis.OpaqueString.String(resource); err != nil {
			return j, fmt.Errorf("its resource: %w", err)
		}
	}
	local, domain, hasLocal := strings.Cut(rest, "@")
	if !hasLocal {
		domain = rest
	} else if j.Local, err = prepareLocal(local); err != nil {
		return j, fmt.Errorf("its local part: %w", err)
	}
	if j.Domain, err = prepareDomain(domain); err != nil {
		return j, fmt.Errorf("its domain: %w", err)
	}
	if len(j.Local) > maxPart || len(j.Domain) > maxPart || len(j.Resource) > maxPart {
		return j, fmt.Errorf("a part is longer than %d octets", maxPart)
	}
	return j, nil
}

// forbidden cannot be in a local part (RFC 7622 §3.3.1); XEP-0106 escapes them.
const forbidden = `"&'/:<>@`

func prepareLocal(local string) (string, error) {
	prepared, err := precis.UsernameCaseMapped.String(local)
	if err == nil && prepared == "" {
		err = errors.New("it is empty")
	}
	if err == nil && strings.ContainsAny(prepared, forbidden) {
		err = errors.New("it has one of " + forbidden)
	}
	return prepared, err
}

func prepareDomain(domain string) (string, error) {
	domain = strings.TrimSuffix(domain, ".")
	if inner, is := strings.CutPrefix(domain, "["); is {
		if a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err != nil || !a.Is6() {
			return "", errors.New("it is no IPv6 address")
		}
		return strings.ToLower(domain), nil
	}
	if domain == "" {
		return "", errors.New("it is empty")
	}
	unicode, err := idna.Lookup.ToUnicode(strings.ToLower(domain))
	if err == nil && strings.ContainsAny(unicode, forbidden+" \t\r\n") {
		err = errors.New("it has a character that no domain has")
	}
	if err == nil && slices.Contains(strings.Split(unicode, "."), "") {
		err = errors.New("one of its labels is empty")
	}
	return unicode, err
}

// Bare is the address without its resource.
func (j JID) Bare() JID { return JID{Local: j.Local, Domain: j.Domain} }

// IsZero says that there is no address.
func (j JID) IsZero() bool { return j.Domain == "" }

func (j JID) String() string {
	text := j.Domain
	if j.Local != "" {
		text = j.Local + "@" + text
	}
	if j.Resource != "" {
		text += "/" + j.Resource
	}
	return text
}

// escapes are XEP-0106's: what a local part cannot have, and how it is written.
var (
	escapes  = [...]string{" ", `\20`, `"`, `\22`, "&", `\26`, "'", `\27`, "/", `\2f`, ":", `\3a`, "<", `\3c`, ">", `\3e`, "@", `\40`}
	escaper  = strings.NewReplacer(escapes[:]...)
	reversed = strings.NewReplacer(append(swapped(escapes[:]), `\5c`, `\`)...)
)

func swapped(pairs []string) (out []string) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, pairs[i+1], pairs[i])
	}
	return out
}

// EscapeLocal writes any text as a local part (XEP-0106).
func EscapeLocal(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if text[i] == '\\' && isEscape(text[i:]) {
			b.WriteString(`\5c`)
			continue
		}
		b.WriteByte(text[i])
	}
	return escaper.Replace(b.String())
}

// UnescapeLocal reads what EscapeLocal wrote.
func UnescapeLocal(local string) string { return reversed.Replace(local) }

// isEscape says that text begins with what UnescapeLocal would change.
func isEscape(text string) bool {
	return len(text) >= 3 && UnescapeLocal(strings.ToLower(text[:3])) != strings.ToLower(text[:3])
}
