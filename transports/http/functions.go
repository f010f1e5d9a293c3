package http

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // Vonage signs with it
	"crypto/sha1" //nolint:gosec // Twilio signs with it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"switchboard/internal/msisdn"
)

// function is one that descriptions may call.
type function struct {
	run   func(params ...any) (any, error)
	types []any
	about string
}

// maxMade bounds what a function makes of its arguments, in bytes.
const maxMade = 1 << 20

var errTooLong = fmt.Errorf("makes more than %d bytes", maxMade)

// functions are pure: they know their arguments alone, and take no more time than
// those are long.
var functions = map[string]function{
	lookUp: two(at, ""),
	"text": {
		func(p ...any) (any, error) { return asText(p[0]), nil },
		[]any{new(func(any) string)},
		"a value as a text; nothing is an empty one",
	},
	"first":    textual("the first line, word or item that is not empty", first, 1),
	"either":   either(),
	"digits":   textual("only the digits of a number", digits, 1),
	"plus":     textual("an international number with its plus; what is no number stays as it is", plus, 1),
	"noplus":   textual("an international number without plus or 00", noPlus, 1),
	"zeros":    textual("an international number with 00 in the plus's place", zeros, 1),
	"national": textual("the number as it is dialled within a country: national(from, \"ZA\")", national, 2),
	"escape":   textual("a text as part of a URL", func(a []string) (string, error) { return escape(a[0]), nil }, 1),
	"replace":  textual("replace(text, old, new)", replace, 3),
	"base64":   textual("a text in base64", func(a []string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(a[0])), nil }, 1),
	"unbase64": textual("what a text in base64 says", unbase64, 1),
	"unbase64_if_likely": textual("what a text says that looks like base64: at least 60 characters, no blanks, and mostly ASCII inside",
		func(a []string) (string, error) { return unbase64IfLikely(a[0]), nil }, 1),
	"decode":        textual("bytes in a charset as a text: decode(text, \"UTF-16BE\")", decodeCharset, 2),
	"encode":        textual("a text as bytes in a charset", encodeCharset, 2),
	"hex":           textual("bytes in hex", func(a []string) (string, error) { return hex.EncodeToString([]byte(a[0])), nil }, 1),
	"unhex":         textual("the bytes that hex stands for", func(a []string) (string, error) { b, err := hex.DecodeString(a[0]); return string(b), err }, 1),
	"unescape":      textual("what percent escapes stand for", func(a []string) (string, error) { return url.QueryUnescape(a[0]) }, 1),
	"basic":         textual("the Authorization header for a user and a password", basic, 2),
	"sha256":        textual("SHA-256 of a text, in hex", func(a []string) (string, error) { return hexHash(sha256.New(), a[0]), nil }, 1),
	"before":        textual("before(text, mark): what stands before the first mark", func(a []string) (string, error) { b, _, _ := strings.Cut(a[0], a[1]); return b, nil }, 2),
	"after":         textual("after(text, mark): what stands behind the first mark", func(a []string) (string, error) { _, b, _ := strings.Cut(a[0], a[1]); return b, nil }, 2),
	"between":       textual("between(text, a, b): what stands behind a and before b", between, 3),
	"join":          {joinValues, []any{new(func(any, string) string)}, "join(list, \",\"): the items of a list as one text"},
	"split":         {splitText, []any{new(func(any, string) []any)}, "split(text, \",\"): a text as a list, blanks around its items taken away"},
	"glued":         {glued, []any{new(func(any, string, string) string)}, "glued(fields, a, b): sorted fields, a before each name and b before each value"},
	"xml_escape":    textual("a text as XML's character data", func(a []string) (string, error) { return xmlEscape(a[0]), nil }, 1),
	"vonage_signed": {vonageSigned, []any{new(func(any) any)}, "the fields of a request as Vonage signs them"},
	"since":         textual("since(text, last): what a text has more than the last one of its session, without the * between", since, 2),
	"is_gsm":        {isGSMText, []any{new(func(any) bool)}, "whether the GSM 03.38 alphabet has every character"},
	"fits":          two(fits, "fits(text, pattern): whether a regular expression matches a text's beginning, as Python's match"),
	"has_codes":     two(func(list, key any) any { return hasValue(list, key) }, "whether a list has a value"),
}

// Functions are the names of what expressions may call, and what each is.
func Functions() (all [][2]string) {
	for _, name := range sortedKeys(functions) {
		if about := functions[name].about; about != "" {
			all = append(all, [2]string{name, about})
		}
	}
	return all
}

func two(run func(a, b any) any, about string) function {
	return function{func(p ...any) (any, error) { return run(p[0], p[1]), nil }, []any{new(func(any, any) any)}, about}
}

func textual(about string, run func(args []string) (string, error), count int) function {
	types := []any{new(func(any) string), new(func(any, any) string), new(func(any, any, any) string)}
	return function{func(p ...any) (any, error) {
		args := make([]string, len(p))
		for i := range p {
			args[i] = asText(p[i])
		}
		return run(args)
	}, types[count-1 : count], about}
}

// either is either(a, b): the first that is not empty.
func either() function {
	return two(func(a, b any) any {
		if asText(a) == "" {
			return b
		}
		return a
	}, "either(a, b): a, and b where a is empty")
}

// at is a member of a mapping or an item of a list, nil where there is none.
func at(from, key any) any {
	switch v := from.(type) {
	case map[string]any:
		name, _ := key.(string)
		return v[name]
	case []any:
		if i, ok := key.(int); ok && i >= -len(v) && i < len(v) {
			return v[(i+len(v))%len(v)]
		}
	case string:
		return nil
	}
	return nil
}

// since is the newest input of a USSD gateway that sends all of a session's, joined by
// stars.
func since(args []string) (string, error) {
	text, more := strings.CutPrefix(args[0], args[1])
	if !more {
		return args[0], nil
	}
	if args[1] != "" {
		text = strings.TrimPrefix(text, "*")
	}
	return text, nil
}

func fits(text, pattern any) any {
	re, err := regexp.Compile("^(?:" + asText(pattern) + ")")
	return err == nil && re.MatchString(asText(text))
}

func hasValue(list, value any) bool {
	items, _ := list.([]any)
	return slices.ContainsFunc(items, func(item any) bool { return asText(item) == asText(value) })
}

func first(args []string) (string, error) {
	for line := range strings.FieldsSeq(args[0]) {
		return line, nil
	}
	return "", nil
}

func digits(args []string) (string, error) {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, args[0]), nil
}

// leastInternational is how many digits an international number has at least.
const leastInternational = 7

// international is the digits of an international number, which may lack its
// plus; "" for short codes and names.
func international(address string) string {
	digits := strings.TrimPrefix(address, "+")
	if digits == address {
		digits = strings.TrimPrefix(address, "00")
	}
	if len(digits) < leastInternational || strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return digits
}

func plus(args []string) (string, error) {
	if n := international(args[0]); n != "" {
		return "+" + n, nil
	}
	return args[0], nil
}

func noPlus(args []string) (string, error) {
	if n := international(args[0]); n != "" {
		return n, nil
	}
	return args[0], nil
}

func zeros(args []string) (string, error) {
	if n := international(args[0]); n != "" {
		return "00" + n, nil
	}
	return args[0], nil
}

func national(args []string) (string, error) {
	country, err := msisdn.Country(args[1])
	if err != nil {
		return "", fmt.Errorf("national: the country %w", err)
	}
	spellings := msisdn.NewNumbers(country).Spellings(args[0])
	return spellings[len(spellings)-1], nil
}

// escape escapes a text for any part of a URL.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func replace(args []string) (string, error) {
	if n := strings.Count(args[0], args[1]); len(args[0])+n*len(args[2]) > maxMade {
		return "", errTooLong
	}
	return strings.ReplaceAll(args[0], args[1], args[2]), nil
}

func unbase64(args []string) (string, error) {
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(args[0]))
	if err != nil {
		return "", errors.New("is no base64")
	}
	return string(text), nil
}

const (
	shortestBase64 = 60
	likelyASCII    = 0.7 // of the characters
)

func unbase64IfLikely(text string) string {
	if len(text) < shortestBase64 || len(text)%4 != 0 || strings.ContainsAny(text, " \t\r\n") {
		return text
	}
	inner, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !utf8.Valid(inner) {
		return text
	}
	ascii := 0
	for _, b := range inner {
		if b >= ' ' && b < utf8.RuneSelf || b == '\n' || b == '\r' {
			ascii++
		}
	}
	if float64(ascii) < likelyASCII*float64(len(inner)) {
		return text
	}
	return string(inner)
}

func decodeCharset(args []string) (string, error) {
	switch strings.ToUpper(args[1]) {
	case "", "UTF-8", "UTF8":
		return strings.ToValidUTF8(args[0], "\uFFFD"), nil
	case "UTF-16BE", "UTF16BE", "UCS-2", "UCS2":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().String(args[0])
	}
	charset, err := htmlindex.Get(args[1])
	if err != nil {
		return "", fmt.Errorf("charset %.40q is not known", args[1])
	}
	return charset.NewDecoder().String(args[0])
}

func encodeCharset(args []string) (string, error) {
	switch strings.ToUpper(args[1]) {
	case "", "UTF-8", "UTF8":
		return args[0], nil
	case "UTF-16BE", "UTF16BE", "UCS-2", "UCS2":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String(args[0])
	}
	charset, err := htmlindex.Get(args[1])
	if err != nil {
		return "", fmt.Errorf("charset %.40q is not known", args[1])
	}
	return charset.NewEncoder().String(args[0])
}

func basic(args []string) (string, error) {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(args[0]+":"+args[1])), nil
}

func between(args []string) (string, error) {
	_, behind, _ := strings.Cut(args[0], args[1])
	inner, _, _ := strings.Cut(behind, args[2])
	return inner, nil
}

func joinValues(p ...any) (any, error) {
	list, _ := p[0].([]any)
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = asText(item)
	}
	return strings.Join(texts, asText(p[1])), nil
}

func splitText(p ...any) (any, error) {
	list := []any{}
	for item := range strings.SplitSeq(asText(p[0]), asText(p[1])) {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list, nil
}

// glued writes fields one behind the other in the order of their names, as several
// providers sign them. A field may have several values.
func glued(p ...any) (any, error) {
	fields, _ := p[0].(map[string]any)
	var out strings.Builder
	for _, name := range sortedKeys(fields) {
		values := []string{}
		for _, one := range asList(fields[name]) {
			values = append(values, asText(one))
		}
		slices.Sort(values)
		for _, one := range values {
			out.WriteString(asText(p[1]) + name + asText(p[2]) + one)
		}
	}
	return out.String(), nil
}

var vonageMarks = strings.NewReplacer("&", "_", "=", "_")

// vonageSigned is &name=value of every field but sig, sorted by name, with & and =
// in values replaced.
func vonageSigned(p ...any) (any, error) {
	fields, _ := p[0].(map[string]any)
	signed := make(map[string]any, len(fields))
	for name, value := range fields {
		if name != "sig" {
			signed[name] = vonageMarks.Replace(asText(value))
		}
	}
	return glued(signed, "&", "=")
}

// gsmBasic and gsmExtension are the characters of GSM 03.38's default alphabet
// and of its extension table.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtension = "\f^{}\\[~]|€"
)

func isGSMText(p ...any) (any, error) {
	for _, r := range asText(p[0]) {
		if !strings.ContainsRune(gsmBasic, r) && !strings.ContainsRune(gsmExtension, r) {
			return false, nil
		}
	}
	return true, nil
}

// hashes are the algorithms of signatures, by their names.
var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

func hexHash(h hash.Hash, text string) string {
	_, _ = h.Write([]byte(text)) // never fails
	return hex.EncodeToString(h.Sum(nil))
}

func sign(algorithm func() hash.Hash, key, text string) []byte {
	h := hmac.New(algorithm, []byte(key))
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}
