package message

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const sample = `{"message_id": "m1", "to_addr": "12345", "from_addr": "+27831234567", "content": "hi", ` +
	`"transport_name": "sms", "transport_type": "sms", "timestamp": "2026-11-21 02:54:14", ` +
	`"message_version": "20110921", "message_type": "user_message", "in_reply_to": null, ` +
	`"session_event": null, "group": null, "transport_metadata": {"dcs": 0}, "helper_metadata": {}}`

func with(old, fresh string) []byte { return []byte(strings.Replace(sample, old, fresh, 1)) }

func mustDecode(t *testing.T, body []byte) *Message {
	t.Helper()
	m, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// members reads an encoded body as any other JSON reader would.
func members(t *testing.T, b body) map[string]any {
	t.Helper()
	var read map[string]any
	if err := json.Unmarshal(b.Encode(), &read); err != nil {
		t.Fatalf("%v in %s", err, b.Encode())
	}
	return read
}

func TestWhatOldMessagesLackIsFilledIn(t *testing.T) {
	read := members(t, mustDecode(t, []byte(sample)))
	for key, want := range map[string]any{"provider": nil, "from_addr_type": nil, "content": "hi"} {
		if got, there := read[key]; !there || got != want {
			t.Errorf("%s is %v (there: %v), want %v", key, got, there, want)
		}
	}
	if routing, ok := read["routing_metadata"].(map[string]any); !ok || len(routing) != 0 {
		t.Errorf("routing_metadata is %v, want {}", read["routing_metadata"])
	}
}

func TestTextSurvives(t *testing.T) {
	for _, content := range []string{
		`"2013-01-01 10:00:00"`, `"2013-01-01 10:00:00.000000"`, `""`, `null`, `"\u00e9\ud83d\ude00"`, `"é😀"`,
		`"a\u0000b"`, `"\ud800"`, `"<b>&\u2028"`, `"1"`, `" "`,
	} {
		m := mustDecode(t, with(`"hi"`, content))
		m.RoutingMetadata.Set("touched", true)
		if got := string(m.Encode()); !strings.Contains(got, `"content": `+content+",") {
			t.Errorf("content %s became %s", content, got)
		}
	}
}

func TestUnknownMembersSurvive(t *testing.T) {
	const odd = `"odd": { "a" : [1.50, 1e3, "\u00e9"],"b":{}}, "retry_metadata": {"retries": 1, "delay": 1}`
	m := mustDecode(t, with(`"group": null`, `"group": null, `+odd))
	m.Content = "changed"
	m.TransportMetadata.Set("more", 1)
	got := string(m.Encode())
	if !strings.Contains(got, odd) || !strings.Contains(got, `"content": "changed"`) {
		t.Errorf("got %s", got)
	}
	if extra := m.Extra(); extra.Raw("odd") == "" || extra.Raw("content") != "" {
		t.Errorf("extra is %s", extra.String())
	}
	m.SetExtra("odd", 7)
	if members(t, m)["odd"] != 7.0 {
		t.Error("SetExtra did not replace")
	}
}

func TestRefusedBodies(t *testing.T) {
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"empty":           {nil, "not valid JSON"},
		"no JSON":         {[]byte("hello"), "not valid JSON"},
		"two values":      {[]byte(sample + sample), "not valid JSON"},
		"not UTF-8":       {with("hi", "\xff"), "not valid UTF-8"},
		"a list":          {[]byte("[]"), "an array, not an object"},
		"null":            {[]byte("null"), "null, not an object"},
		"no id":           {with(`"message_id": "m1", `, ""), "message_id is missing"},
		"null id":         {with(`"m1"`, "null"), "message_id is missing"},
		"number":          {with(`"12345"`, "12345"), "to_addr is a number"},
		"no to_addr":      {with(`"to_addr": "12345", `, ""), "to_addr is missing"},
		"no timestamp":    {with(`"timestamp": "2026-11-21 02:54:14", `, ""), "timestamp is missing"},
		"bad timestamp":   {with("2026-11-21 02:54:14", "yesterday"), "timestamp is"},
		"before 1900":     {with("2026", "1899"), "timestamp is before 1900"},
		"other version":   {with("20110921", "20200101"), "message_version is"},
		"other type":      {with("user_message", "event"), "message_type is"},
		"session":         {with(`"session_event": null`, `"session_event": "begin"`), "session_event is"},
		"metadata":        {with(`{"dcs": 0}`, `[]`), "transport_metadata is an array"},
		"metadata string": {with(`{"dcs": 0}`, `"x"`), "transport_metadata is a string"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode(c.body); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A routing_metadata of null would stop a Vumi worker's queue for good.
func TestNullRoutingIsRepaired(t *testing.T) {
	m := mustDecode(t, with(`"group": null`, `"routing_metadata": null`))
	if got := string(m.Encode()); !strings.Contains(got, `"routing_metadata": {}`) {
		t.Errorf("got %s", got)
	}
}

func TestReply(t *testing.T) {
	m := mustDecode(t, []byte(sample))
	m.Group, m.Provider = "#room", "mtn"
	m.SetEndpoint("support")
	r := m.Reply("answer")
	if r.To != m.From || r.From != m.To || r.InReplyTo != "m1" || r.Content != "answer" || r.SessionEvent != SessionNone ||
		r.Group != "#room" || r.Provider != "mtn" || r.TransportName != "sms" || r.TransportType != "sms" ||
		r.TransportMetadata.String() != `{"dcs": 0}` || r.Endpoint() != "support" || r.ID == m.ID || len(r.ID) != 32 {
		t.Errorf("got %s", r.Encode())
	}
	if last := m.Reply("bye", EndSession, ToGroup); last.SessionEvent != SessionClose || last.To != "" {
		t.Errorf("got %s", last.Encode())
	}
	if got := members(t, m.Reply("x", ToGroup))["to_addr"]; got != nil {
		t.Errorf("a group reply's to_addr is %v, want null", got)
	}
}

// Handling a message twice makes the same replies; two applications that answer
// the same message make different ones.
func TestReplyIDs(t *testing.T) {
	ids := func(by string) [2]string {
		m := mustDecode(t, []byte(sample))
		m.NameReplies(by)
		return [2]string{m.Reply("a").ID, m.Reply("b").ID}
	}
	first, again, other := ids("echo"), ids("echo"), ids("log")
	if first != again || first[0] == first[1] || first[0] == other[0] {
		t.Errorf("%v %v %v", first, again, other)
	}
}

// A reply to a message that was handled before may exist already.
func TestReplyOfRedelivered(t *testing.T) {
	m := mustDecode(t, []byte(sample))
	if r := m.Reply("x"); Again(&r.RoutingMetadata) {
		t.Error("a first reply is marked")
	}
	m.RoutingMetadata.Set(AgainKey, true)
	if r := m.Reply("x"); !Again(&r.RoutingMetadata) {
		t.Error("the mark is lost")
	}
}

func TestEvents(t *testing.T) {
	m := mustDecode(t, []byte(sample))
	m.RoutingMetadata.Set("switchboard_path", []string{"app"})
	for _, e := range []*Event{NewAck(m, "smsc-1"), NewNack(m, "no"), NewDeliveryReport(m, Delivered)} {
		read, err := DecodeEvent(e.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if read.MessageID != "m1" || read.Type != e.Type || read.TransportName != "sms" ||
			read.RoutingMetadata.Raw("switchboard_path") != `["app"]` {
			t.Errorf("got %s", read.Encode())
		}
	}
	ack := members(t, NewAck(m, ""))
	if ack["sent_message_id"] == nil {
		t.Error("an ack's sent_message_id must not be null")
	}
	if _, there := ack["nack_reason"]; there {
		t.Error("an ack has a nack_reason")
	}
	for name, body := range map[string]string{
		"ack without id":  strings.Replace(string(NewAck(m, "x").Encode()), `"sent_message_id": "x"`, `"sent_message_id": null`, 1),
		"unknown status":  strings.Replace(string(NewDeliveryReport(m, Failed).Encode()), `"failed"`, `"lost"`, 1),
		"unknown type":    strings.Replace(string(NewAck(m, "x").Encode()), `"ack"`, `"hello"`, 1),
		"no message's id": strings.Replace(string(NewAck(m, "x").Encode()), `"m1"`, `null`, 1),
	} {
		if _, err := DecodeEvent([]byte(body)); err == nil {
			t.Errorf("%s was accepted: %s", name, body)
		}
	}
}

// What Vumi takes from an ack or a nack is taken, and passed on as it came.
func TestEventsThatVumiTakes(t *testing.T) {
	m := mustDecode(t, []byte(sample))
	ack, nack := string(NewAck(m, "x").Encode()), string(NewNack(m, "x").Encode())
	for value, want := range map[string]string{`""`: "", `7`: "7", `1.50`: "1.50", `true`: "true"} {
		for _, body := range []string{
			strings.Replace(ack, `"sent_message_id": "x"`, `"sent_message_id": `+value, 1),
			strings.Replace(nack, `"nack_reason": "x"`, `"nack_reason": `+value, 1),
		} {
			e, err := DecodeEvent([]byte(body))
			if err != nil {
				t.Errorf("%s: %v", body, err)
				continue
			}
			if got := e.SentMessageID + e.NackReason; got != want || string(e.Encode()) != body {
				t.Errorf("%s is read as %q and passed on as %s", body, got, e.Encode())
			}
		}
	}
	for _, body := range []string{strings.Replace(nack, `"nack_reason": "x"`, `"nack_reason": null`, 1), strings.Replace(nack, `"nack_reason": "x", `, "", 1)} {
		if _, err := DecodeEvent([]byte(body)); err == nil {
			t.Errorf("%s was accepted", body)
		}
	}
}

func TestFailureAndStatus(t *testing.T) {
	f, err := DecodeFailure(NewFailure(mustDecode(t, []byte(sample)), FailurePermanent, "no route").Encode())
	if err != nil || f.Message.ID != "m1" || f.Code != FailurePermanent || f.Reason != "no route" {
		t.Errorf("got %+v, %v", f, err)
	}
	s, err := DecodeStatus(NewStatus("connection", Down, "refused", "The SMSC refused the bind.", "a", "b").Encode())
	if err != nil || s.Component != "connection" || s.Health != Down || len(s.Reasons) != 2 {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := DecodeStatus([]byte(strings.Replace(string(s.Encode()), `"down"`, `"sick"`, 1))); err == nil {
		t.Error("an unknown health was accepted")
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-11-21 02:54:14":        time.Date(2026, 11, 21, 2, 54, 14, 0, time.UTC),
		"2026-11-21 02:54:14.352559": time.Date(2026, 11, 21, 2, 54, 14, 352559000, time.UTC),
	} {
		if got, err := ParseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	if got := FormatTime(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 7200))); got != "2026-01-02 01:04:05.000006" {
		t.Errorf("got %s", got)
	}
}

func TestObject(t *testing.T) {
	var o Object
	if err := json.Unmarshal([]byte(` {"a": 1, "b": {"c": "d"}, "a": 2} `), &o); err != nil {
		t.Fatal(err)
	}
	before := o
	inner := o.Object("b")
	inner.Set("e", []int{1})
	o.Set("b", inner)
	o.Delete("a")
	if o.String() != `{"b":{"c":"d","e":[1]}}` {
		t.Errorf("got %s", o.String())
	}
	if before.Raw("a") != "2" || before.Len() != 2 {
		t.Errorf("the copy changed too: %s", before.String())
	}
	made := NewObject(map[string]any{"x": "é"})
	if made.Text("x") != "é" || made.Text("none") != "" || made.Keys()[0] != "x" {
		t.Errorf("got %s", made.String())
	}
}

// A body of very many members costs no more than its length.
func TestWideBody(t *testing.T) {
	var wide strings.Builder
	wide.WriteString(sample[:len(sample)-1])
	for i := range 100_000 {
		wide.WriteString(`, "k`)
		wide.WriteString(strings.Repeat("x", i%7))
		wide.WriteString(string(rune('a'+i%26)) + FormatTime(time.Unix(int64(i), 0)))
		wide.WriteString(`": 1`)
	}
	wide.WriteString("}")
	began := time.Now()
	m := mustDecode(t, []byte(wide.String()))
	if string(m.Encode()) == "" || time.Since(began) > 5*time.Second {
		t.Errorf("took %s", time.Since(began))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"a":"\ud800","a":[{"b":"}"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Decode(raw)
		if err != nil {
			return
		}
		again, err := Decode(m.Encode())
		if err != nil {
			t.Fatalf("%v in %s", err, m.Encode())
		}
		if again.ID != m.ID || again.Content != m.Content || again.To != m.To || !again.Timestamp.Equal(m.Timestamp) {
			t.Errorf("%s became %s", raw, again.Encode())
		}
	})
}

func TestHops(t *testing.T) {
	m := mustDecode(t, []byte(sample))
	AddHop(&m.RoutingMetadata, "join", `rules.3 "quoted"`)
	AddHop(&m.RoutingMetadata, "split", "")
	again := mustDecode(t, m.Encode())
	hops := Hops(&again.RoutingMetadata)
	if len(hops) != 2 || hops[0].Dispatcher != "join" || hops[0].Rule != `rules.3 "quoted"` || hops[1].Dispatcher != "split" ||
		time.Since(hops[1].At) > time.Minute {
		t.Errorf("got %+v in %s", hops, again.RoutingMetadata.String())
	}
	for _, odd := range []string{`7`, `"x"`, `[]`, `[1]`, `null`} {
		malformed := mustDecode(t, with(`"group": null`, `"group": null, "routing_metadata": {"switchboard_hops": `+odd+`}`))
		AddHop(&malformed.RoutingMetadata, "join", "")
		if hops := Hops(&malformed.RoutingMetadata); len(hops) != 1 || hops[0].Dispatcher != "join" {
			t.Errorf("after %s: %+v", odd, hops)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, text := range []string{"2026-11-21 02:54:14.352559", "2026-02-30 00:00:00", "2024-02-29 23:59:59.1", "1899-12-31 00:00:00", "2026-11-21 24:00:00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTime(text)
		want, wrong := time.Parse("2006-01-02 15:04:05.999999999", text)
		if err == nil && (wrong != nil || !got.Equal(want)) {
			t.Errorf("%q: got %v; want %v, %v", text, got, want, wrong)
		}
		// time.Parse takes more: a comma, one digit, a space. But what it takes
		// and writes the same way again is a timestamp.
		layout := "2006-01-02 15:04:05." + strings.Repeat("0", max(0, len(text)-20))
		canonical := wrong == nil && want.Year() >= 1900 && want.Format(strings.TrimSuffix(layout, ".")) == text
		if err != nil && canonical {
			t.Errorf("%q is refused: %v", text, err)
		}
	})
}

// What one pass takes for JSON is what encoding/json takes for it, but for what
// nests too deep.
func FuzzSkipValue(f *testing.F) {
	f.Add(sample)
	for _, text := range []string{`[1,-0.5e+3,"\u00e9\n",{"a":[]},null,true,false]`, `01`, `1.`, `-`, `"\x"`, `{"a":1,}`, `[1 2]`, `{"a" 1}`, "\"\x01\"", `nul`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end := skipValue(text, skipSpace(text, 0), 0)
		ours := end >= 0 && skipSpace(text, end) == len(text)
		if theirs := json.Valid([]byte(text)); ours != theirs && strings.Count(text, "[")+strings.Count(text, "{") < maxDepth {
			t.Errorf("%q: we say %v, encoding/json says %v", text, ours, theirs)
		}
	})
}

func TestTooDeep(t *testing.T) {
	deep := with(`{"dcs": 0}`, `{"a": `+strings.Repeat("[", 1_000_000)+strings.Repeat("]", 1_000_000)+"}")
	if _, err := Decode(deep); err == nil {
		t.Error("a million nested lists were accepted")
	}
}
