package receipt

import "strings"

// fields are the values of a receipt's text (SMPP 3.4 appendix B).
type fields struct {
	id, sub, dlvrd, submitted, done, stat, err, text string
}

// set gives a field its value, by its name in lower case without blanks, "_" and
// "-". The first value stays. It is false for a name that is no field's.
func (f *fields) set(name, value string) bool {
	field := f.named(name)
	if field == nil {
		return false
	}
	if *field == "" {
		*field = value
	}
	return true
}

func (f *fields) named(name string) *string {
	switch name {
	case "id", "msgid", "messageid":
		return &f.id
	case "sub":
		return &f.sub
	case "dlvrd", "dlvd", "dlv", "delivrd":
		return &f.dlvrd
	case "submitdate", "subdate":
		return &f.submitted
	case "donedate", "dondate":
		return &f.done
	case "stat", "status", "state":
		return &f.stat
	case "err", "error", "errcode", "errorcode":
		return &f.err
	case "text", "txt":
		return &f.text
	}
	return nil
}

// scanFields finds "name:value" pairs, in any order and case, with "=" for ":"
// and blanks around it, one missing or twice, names of two words or with "_".
// A value reaches to the next name; the text reaches to the end, and what looks
// like a pair within it is text.
func scanFields(text string) (f fields) {
	name, from := "", 0
	for i := range len(text) {
		if text[i] != ':' && text[i] != '=' {
			continue
		}
		next, start := nameBefore(text[from:i])
		if next == "" {
			continue
		}
		if name != "" {
			f.set(name, strings.Trim(text[from:from+start], blanks+",;"))
		}
		name, from = next, i+1
		if name == "text" || name == "txt" {
			break
		}
	}
	if name != "" {
		f.set(name, strings.Trim(text[from:], blanks))
	}
	return f
}

const blanks = " \t\r\n\x00"

// nameBefore returns the field name that s ends with, and where it begins. Of
// a one-word and a two-word name that match, it is the longer: "submit date", not
// "date".
func nameBefore(s string) (name string, start int) {
	end := len(strings.TrimRight(s, blanks))
	word := wordStart(s, end)
	if word == end {
		return "", 0
	}
	if first := wordStart(s, len(strings.TrimRight(s[:word], blanks))); first < word {
		if n := plainName(s[first:end]); isField(n) {
			return n, first
		}
	}
	if n := plainName(s[word:end]); isField(n) {
		return n, word
	}
	return "", 0
}

// wordStart returns where the word that ends at end begins, or a place behind
// that when it is too long for a name: a long text is not searched again and
// again.
func wordStart(s string, end int) int {
	least := max(0, end-maxName-1)
	for end > least && strings.IndexByte(blanks+",;", s[end-1]) < 0 {
		end--
	}
	return end
}

// maxName is longer than any name: what is longer is part of a value.
const maxName = 16

func plainName(s string) string {
	if len(s) > maxName {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n', '_', '-':
			return -1
		}
		return r
	}, strings.ToLower(s))
}

func isField(name string) bool {
	var f fields
	return f.named(name) != nil
}
