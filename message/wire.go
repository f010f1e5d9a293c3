package message

import (
	"errors"
	"fmt"
	"time"
)

// Version is the message_version of everything on the wire.
const Version = "20110921"

// schema says which members a kind of body has on the wire.
type schema struct {
	messageType string
	required    []string // texts that must be there and not empty
	present     []string // texts that must be there, and may be null
	nullable    []string // texts that may be missing, and are then written as null
	optional    []string // texts that are written only when they are set
	objects     []string // objects that may be missing, and are then written as {}
}

// record is a body's Go side: where each member of its schema is kept. A nil
// pointer means the key is none of its own.
type record interface {
	text(key string) *string
	object(key string) *Object
	time() *time.Time
}

// decode fills r from a body and returns all members, known and unknown.
func decode(body []byte, s *schema, r record) ([]member, error) {
	members, err := scanBody(body)
	if err != nil {
		return nil, err
	}
	return members, fill(members, s, r)
}

func fill(members []member, s *schema, r record) error {
	for _, m := range members {
		if err := fillMember(m, s, r); err != nil {
			return fmt.Errorf("%s %w", m.key, err)
		}
	}
	return s.check(members, r)
}

func fillMember(m member, s *schema, r record) error {
	if p := r.text(m.key); p != nil {
		return fillText(m, p)
	}
	if p := r.object(m.key); p != nil {
		read, err := readObject(m.raw)
		*p = read
		return err
	}
	switch m.key {
	case "timestamp":
		return fillTime(m.raw, r.time())
	case "message_type":
		return expect(m.raw, s.messageType)
	case "message_version":
		return expect(m.raw, Version)
	}
	return nil
}

// fillText reads a text. Vumi wants no string of what the outside says of an
// outbound message; other values come as their JSON.
func fillText(m member, p *string) error {
	if m.raw == "null" {
		*p = ""
		return nil
	}
	text, ok := unquote(m.raw)
	switch {
	case ok:
	case m.key == "sent_message_id" || m.key == "nack_reason":
		text = m.raw
	default:
		return fmt.Errorf("is %s, not a string or null", shape(m.raw))
	}
	*p = text
	return nil
}

func fillTime(raw string, p *time.Time) error {
	text, ok := unquote(raw)
	if !ok {
		return fmt.Errorf("is %s, not a string", shape(raw))
	}
	t, err := ParseTime(text)
	*p = t
	return err
}

func expect(raw, want string) error {
	if got, _ := unquote(raw); got != want {
		return fmt.Errorf("is %.40s, not %q", raw, want)
	}
	return nil
}

func (s *schema) check(members []member, r record) error {
	for _, key := range s.required {
		if *r.text(key) == "" {
			return fmt.Errorf("%s is missing", key)
		}
	}
	for _, key := range s.present {
		if find(members, key) < 0 {
			return fmt.Errorf("%s is missing", key)
		}
	}
	for _, key := range [...]string{"timestamp", "message_version", "message_type"} {
		if find(members, key) < 0 {
			return fmt.Errorf("%s is missing", key)
		}
	}
	return nil
}

// encodeBody writes r: members as they came where they are unchanged, in their
// order, then what the schema wants and was not there.
func encodeBody(members []member, s *schema, r record) []byte {
	out := append(make([]byte, 0, sizeOf(members)), '{')
	for _, m := range members {
		out = appendKey(out, m.key)
		out = appendMember(out, m, r)
	}
	for _, keys := range [...][]string{s.required, s.present, s.nullable} {
		for _, key := range keys {
			if find(members, key) < 0 {
				out = appendText(appendKey(out, key), *r.text(key))
			}
		}
	}
	for _, key := range s.optional {
		if text := *r.text(key); text != "" && find(members, key) < 0 {
			out = appendText(appendKey(out, key), text)
		}
	}
	for _, key := range s.objects {
		if find(members, key) < 0 {
			out = appendObject(appendKey(out, key), key, r)
		}
	}
	if find(members, "timestamp") < 0 {
		out = appendTime(appendKey(out, "timestamp"), *r.time())
	}
	if find(members, "message_type") < 0 {
		out = appendQuoted(appendKey(out, "message_type"), s.messageType)
	}
	if find(members, "message_version") < 0 {
		out = appendQuoted(appendKey(out, "message_version"), Version)
	}
	return append(out, '}')
}

// room is what a body may grow by on its way: a return path, a rewritten address.
const room = 256

func sizeOf(members []member) int {
	size := room
	for _, m := range members {
		size += len(m.key) + len(m.raw) + len(`"": , `)
	}
	if len(members) == 0 {
		size += 2 * room // a new one
	}
	return size
}

func appendKey(out []byte, key string) []byte {
	if len(out) > 1 {
		out = append(out, ", "...)
	}
	return append(appendQuoted(out, key), ": "...)
}

func appendMember(out []byte, m member, r record) []byte {
	if p := r.text(m.key); p != nil {
		if sameText(m, *p) {
			return append(out, m.raw...)
		}
		return appendText(out, *p)
	}
	if r.object(m.key) != nil {
		return appendObject(out, m.key, r)
	}
	if m.key == "timestamp" {
		if was := (time.Time{}); fillTime(m.raw, &was) != nil || !was.Equal(*r.time()) {
			return appendTime(out, *r.time())
		}
	}
	return append(out, m.raw...)
}

func sameText(m member, text string) bool {
	was := ""
	return fillText(m, &was) == nil && was == text
}

func appendText(out []byte, text string) []byte {
	if text == "" {
		return append(out, "null"...)
	}
	return appendQuoted(out, text)
}

// appendObject writes an object. A routing_metadata of null would stop a Vumi
// worker's queue for good, so it leaves as {}.
func appendObject(out []byte, key string, r record) []byte {
	o := r.object(key)
	if key == "routing_metadata" && o.IsNull() {
		return append(out, "{}"...)
	}
	return o.append(out)
}

const timeLayout = "2006-01-02 15:04:05.000000"

// oldest is the first year a Vumi worker can write; an older date stops its
// queue for good.
const oldest = 1900

// ParseTime reads a timestamp of the wire: UTC, `YYYY-MM-DD HH:MM:SS`, with or
// without a fraction, not before 1900.
func ParseTime(text string) (time.Time, error) {
	t, ok := parseDigits(text)
	if !ok {
		return time.Time{}, fmt.Errorf("is %.40q, not like %q", text, timeLayout)
	}
	if t.Year() < oldest {
		return time.Time{}, errors.New("is before 1900")
	}
	return t, nil
}

// parseDigits does what time.Parse would, at a twentieth of its cost: every
// body has a timestamp, and it is read twice.
func parseDigits(text string) (time.Time, bool) {
	const shape = "0000-00-00 00:00:00"
	if len(text) < len(shape) || len(text) > len(shape)+10 {
		return time.Time{}, false
	}
	for i := range len(shape) {
		if shape[i] == '0' && (text[i] < '0' || text[i] > '9') || shape[i] != '0' && text[i] != shape[i] {
			return time.Time{}, false
		}
	}
	nanos, ok := parseFraction(text[len(shape):])
	if !ok {
		return time.Time{}, false
	}
	year, month, day := number(text[:4]), number(text[5:7]), number(text[8:10])
	hour, minute, second := number(text[11:13]), number(text[14:16]), number(text[17:19])
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	// time.Date makes 30 February the 1st or 2nd of March: that is no date.
	sane := t.Day() == day && int(t.Month()) == month && hour < 24 && minute < 60 && second < 60
	return t, sane
}

// parseFraction reads ".352559" as nanoseconds; no fraction is 0.
func parseFraction(text string) (nanos int, ok bool) {
	if text == "" {
		return 0, true
	}
	if text[0] != '.' || len(text) == 1 {
		return 0, false
	}
	for i := range 9 {
		nanos *= 10
		if i+1 >= len(text) {
			continue
		}
		if text[i+1] < '0' || text[i+1] > '9' {
			return 0, false
		}
		nanos += int(text[i+1] - '0')
	}
	return nanos, true
}

// number reads digits that were checked before.
func number(digits string) (n int) {
	for _, d := range []byte(digits) {
		n = 10*n + int(d-'0')
	}
	return n
}

// FormatTime writes a timestamp of the wire, in UTC with microseconds.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func appendTime(out []byte, t time.Time) []byte {
	if t.Year() < oldest {
		t = time.Now()
	}
	out = append(out, '"')
	out = t.UTC().AppendFormat(out, timeLayout)
	return append(out, '"')
}
