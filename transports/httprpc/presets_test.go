package httprpc

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/message"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

// turn is one request of a session: what the gateway asks, the message it makes, the
// reply, and the answer.
type turn struct {
	ask, body string
	session   message.SessionEvent
	from, to  string
	content   string
	metadata  string
	reply     string // "" where nobody is asked
	ends      bool
	status    int // default 200
	answer    string
	headers   map[string]string
}

// dialogues are the gateways' own requests and answers, as their documents and Vumi's
// tests have them.
var dialogues = []struct {
	name     string
	provider string
	change   func(*Transport)
	turns    []turn
}{
	{"africastalking", "africastalking", nil, []turn{
		{
			"POST /", "sessionId=AT1&serviceCode=*384*123%23&phoneNumber=%2B254711XXXYYY&text=&networkCode=63902",
			message.SessionNew, "+254711XXXYYY", "*384*123#", "", `{"session_id":"AT1","network_code":"63902"}`, "Choose: 1 or 2", false, 0, "CON Choose: 1 or 2", nil,
		},
		{
			"POST /", "sessionId=AT1&serviceCode=*384*123%23&phoneNumber=%2B254711XXXYYY&text=1",
			message.SessionResume, "+254711XXXYYY", "*384*123#", "1", `{"session_id":"AT1","network_code":""}`, "How many?", false, 0, "CON How many?", nil,
		},
		{
			"POST /", "sessionId=AT1&serviceCode=*384*123%23&phoneNumber=%2B254711XXXYYY&text=1*a*b",
			message.SessionResume, "+254711XXXYYY", "*384*123#", "a*b", "", "Thanks", true, 0, "END Thanks", nil,
		},
		{
			"POST /", "sessionId=AT1&serviceCode=*384*123%23&phoneNumber=%2B254711XXXYYY&text=",
			message.SessionNew, "+254711XXXYYY", "*384*123#", "", "", "Again", true, 0, "END Again", nil,
		},
	}},
	{"safaricom", "safaricom", nil, []turn{
		{
			"GET /?ORIG=27761234567&DEST=167&SESSION_ID=session-id&USSD_PARAMS=7*a", "",
			message.SessionNew, "27761234567", "*167*7*a#", "", `{"session_id":"session-id"}`, "hello world", false, 0, "CON hello world", nil,
		},
		{
			"GET /?ORIG=27761234567&DEST=167&SESSION_ID=session-id&USSD_PARAMS=7*a*b", "",
			message.SessionResume, "27761234567", "*167*7*a#", "b", "", "hello world", false, 0, "CON hello world", nil,
		},
		{
			"GET /?ORIG=27761234567&DEST=167&SESSION_ID=session-id&USSD_PARAMS=7*a*b*", "",
			message.SessionResume, "27761234567", "*167*7*a#", "", "", "bye", true, 0, "END bye", nil,
		},
		{
			"GET /?ORIG=27761234567&DEST=167&SESSION_ID=other&USSD_PARAMS=", "",
			message.SessionNew, "27761234567", "*167#", "", "", "hi", false, 0, "CON hi", nil,
		},
		{"GET /?ORIG=1", "", "", "", "", "", "", "", false, 400, `{"missing_parameter":["DEST","SESSION_ID","USSD_PARAMS"]}`, nil},
	}},
	{"airtel", "airtel", func(tr *Transport) {
		tr.AirtelUsername, tr.AirtelPassword, tr.ToAddrPattern = "foo", "bar", `\*121#$`
		tr.AirtelCharge, tr.AirtelChargeAmount = true, 5
	}, []turn{
		{
			"GET /?SessionID=s1&MSISDN=27761234567&MSC=msc&input=121&userid=foo&password=bar", "",
			message.SessionNew, "27761234567", "*121#", "", `{"MSC":"msc"}`, " hello world", false, 0, "hello world",
			map[string]string{"Freeflow": "FC", "charge": "Y", "amount": "5"},
		},
		{
			"GET /?SessionID=s1&MSISDN=27761234567&MSC=msc&input=yes&userid=foo&password=bar", "",
			message.SessionResume, "27761234567", "*121#", "yes", "", "bye", false, 0, "bye", nil,
		},
		{
			"GET /?SessionID=s1&msisdn=27761234567&clean=clean-session&error=522&userid=foo&password=bar", "",
			message.SessionClose, "27761234567", "*121#", "", `{"clean":"clean-session","error":"522"}`, "", false, 0, "", nil,
		},
		{
			"GET /?SessionID=s1&msisdn=27761234567&clean=clean-session&error=522&userid=foo&password=bar", "",
			"", "", "", "", "", "", false, 0, "Unknown Session", nil,
		},
		{"GET /?SessionID=s2&MSISDN=2776&MSC=msc&input=999&userid=foo&password=bar", "", "", "", "", "", "", "", false, 400, "no address that begins one", nil},
		{"GET /?SessionID=s2&MSISDN=2776&MSC=msc&input=121&userid=foo&password=guess", "", "", "", "", "", "", "", false, 403, "Forbidden", nil},
		{"GET /?SessionID=s2&MSISDN=2776&MSC=msc&input=121", "", "", "", "", "", "", "", false, 403, "Forbidden", nil},
		{
			"GET /?SessionID=s3&MSISDN=2776&MSC=msc&input=121&userid=foo&password=bar", "",
			message.SessionNew, "2776", "*121#", "", "", "bye", true, 0, "bye",
			map[string]string{"Freeflow": "FB"},
		},
	}},
	{"infobip", "infobip", nil, []turn{
		{"GET /session/1/status", "", "", "", "", "", "", "", false, 0, `{"responseExitCode":200,"responseMessage":"","sessionActive":false}`, nil},
		{"POST /session/1/response", `{"text": "x", "msisdn": "1"}`, "", "", "", "", "", "", false, 0, `{"responseExitCode":400,"responseMessage":"Invalid USSD session 1"}`, nil},
		{
			"POST /session/1/start", `{"msisdn": "385955363443", "imsi": "429011234567890", "shortCode": "*123#1#", "optional": "o", "ussdGwId": "11", "text": "hello there"}`,
			message.SessionNew, "385955363443", "*123#1#", "hello there", `{"session_id":"1"}`, "hello yourself", false, 0,
			`{"responseExitCode":200,"responseMessage":"","shouldClose":false,"ussdMenu":"hello yourself"}`, nil,
		},
		{"POST /session/1/start", `{"msisdn": "385955363443", "text": "x"}`, "", "", "", "", "", "", false, 0, "already started", nil},
		{"GET /session/1/status", "", "", "", "", "", "", "", false, 0, `"sessionActive":true`, nil},
		{
			"POST /session/1/response", `{"msisdn": "385955363443", "text": "more", "ussdGwId": "11"}`,
			message.SessionResume, "385955363443", "*123#1#", "more", "", "bye", false, 0, `"ussdMenu":"bye"`, nil,
		},
		{
			"POST /session/1/end", `{"msisdn": "385955363443", "exitCode": 200, "reason": "user"}`,
			message.SessionClose, "385955363443", "*123#1#", "", "", "", false, 0, `{"responseExitCode":200,"responseMessage":""}`, nil,
		},
		{"POST /session/2/start", `{"msisdn": "385955363443"}`, "", "", "", "", "", "", false, 0, "Missing required JSON field", nil},
		{"POST /session/2/start", `{"msisdn`, "", "", "", "", "", "", false, 0, `"responseExitCode":400`, nil},
	}},
	{"dmark", "dmark", func(tr *Transport) { tr.FixToAddr = true }, []turn{
		{
			"GET /?transactionId=t1&msisdn=256700000001&ussdServiceCode=1234&transactionTime=1386166&ussdRequestString=*6*7%23&creationTime=1386165&response=false", "",
			message.SessionNew, "256700000001", "*1234#", "", `{"transaction_id":"t1","transaction_time":"1386166","creation_time":"1386165"}`,
			"We are the Knights Who Say ... Ni!", false, 0, `{"action":"request","responseString":"We are the Knights Who Say ... Ni!"}`, nil,
		},
		{
			"GET /?transactionId=t1&msisdn=256700000001&ussdServiceCode=1234&transactionTime=1&ussdRequestString=xxx&creationTime=1&response=true", "",
			message.SessionResume, "256700000001", "*1234#", "xxx", "", "bye", true, 0, `{"action":"end","responseString":"bye"}`, nil,
		},
	}},
	{"imimobile", "imimobile", func(tr *Transport) { tr.SuffixToAddrs = map[string]string{"some-suffix": "56263"} }, []turn{
		{
			"GET /some-suffix?msisdn=9221234567&msg=Spam%2C+Spam&code=VUMI&tid=1&dcs=no-idea", "",
			message.SessionNew, "9221234567", "56263", "Spam, Spam", `{"tid":"1","code":"VUMI","dcs":"no-idea"}`, "Ni!", false, 0, "Ni!",
			map[string]string{"X-USSD-SESSION": "1"},
		},
		{
			"GET /some-suffix?msisdn=9221234567&msg=more&code=VUMI&tid=1&dcs=no-idea", "",
			message.SessionResume, "9221234567", "56263", "more", "", "bye", true, 0, "bye",
			map[string]string{"X-USSD-SESSION": "0"},
		},
		{
			"GET /some-suffix?msisdn=9221234567&msg=Map+Dialog+User+Abort+User+Reason:+User+specific+reason&code=VUMI&tid=1&dcs=x", "",
			message.SessionClose, "9221234567", "56263", "Map Dialog User Abort User Reason: User specific reason", "", "", false, 0, "Session Ended",
			map[string]string{"X-USSD-SESSION": "0"},
		},
		{"GET /other?msisdn=9&msg=m&code=V&tid=1&dcs=x", "", "", "", "", "", "", "", false, 400, "unknown_suffix: other", nil},
	}},
	{"cellulant", "cellulant", nil, []turn{
		{
			"GET /?MSISDN=27761234567&INPUT=*120*1%23&opCode=BEG&ABORT=0&sessionID=1", "",
			message.SessionNew, "27761234567", "*120*1#", "", `{"session_id":"1"}`, "hello world", false, 0, "1|hello world|null|null|null|null", nil,
		},
		{
			"GET /?MSISDN=27761234567&INPUT=hi&opCode=&ABORT=0&sessionID=1", "",
			message.SessionResume, "27761234567", "*120*1#", "hi", "", "hello world", true, 0, "1|hello world|null|null|end|null", nil,
		},
		{"GET /?MSISDN=27761234567&INPUT=hi&opCode=&ABORT=0&sessionID=9", "", "", "", "", "", "", "", false, 0, "", nil},
		{
			"GET /?MSISDN=27761234567&INPUT=*120*1%23&opCode=BEG&ABORT=0&sessionID=2", "",
			message.SessionNew, "27761234567", "*120*1#", "", "", "hi", false, 0, "1|hi|null|null|null|null", nil,
		},
		{
			"GET /?MSISDN=27761234567&INPUT=&opCode=ABO&ABORT=1&sessionID=2", "",
			message.SessionClose, "27761234567", "*120*1#", "", "", "", false, 0, "", nil,
		},
	}},
	{"mtech", "mtech", nil, []turn{
		{
			"POST /", `<?xml version="1.0" encoding="UTF-8"?><page version="2.0"><session_id>sess1</session_id><page_id>0</page_id><data>testmenu</data>` +
				`<mobile_number>2348085832481</mobile_number><gate>gateid</gate></page>`,
			message.SessionNew, "2348085832481", "gateid", "testmenu", `{"session_id":"sess1"}`, "OK\nfoo & bar", false, 0,
			`<?xml version='1.0' encoding='UTF-8'?><page version="2.0"><session_id>sess1</session_id><div>OK<br />foo &amp; bar</div>` +
				`<navigation><link accesskey="*" pageId="indexX" /></navigation></page>`,
			map[string]string{"Content-Type": "text/xml; charset=UTF-8"},
		},
		{
			"POST /", `<page version="2.0"><session_id>sess1</session_id><page_id>indexX</page_id><data>foo</data></page>`,
			message.SessionResume, "2348085832481", "gateid", "foo", "", "bye", true, 0,
			`<?xml version='1.0' encoding='UTF-8'?><page version="2.0"><session_id>sess1</session_id><div>bye</div></page>`, nil,
		},
		{"POST /", `<page version="2.0"><session_id>sess9</session_id><page_id>indexX</page_id><data>foo</data></page>`, "", "", "", "", "", "", false, 400, "", nil},
		{
			"POST /", `<page version="2.0"><session_id>sess1</session_id><status>1</status></page>`, "", "", "", "", "", "", false, 0,
			`<?xml version='1.0' encoding='UTF-8'?><page version="2.0"><session_id>sess1</session_id></page>`, nil,
		},
		{"POST /", `<page>`, "", "", "", "", "", "", false, 400, "", nil},
		{"POST /", `<!DOCTYPE x [<!ENTITY y "z">]><page>&y;</page>`, "", "", "", "", "", "", false, 400, "", nil},
	}},
	{"vodacom", "vodacom", func(tr *Transport) { tr.USSDStringPrefix, tr.WebPath = "*120*666", "/ussd" }, []turn{
		{
			"GET /ussd?request=*120*666%23&msisdn=12345&ussdSessionId=123&provider=ZZ", "",
			message.SessionNew, "12345", "*120*666#", "*120*666#", `{"session_id":"123"}`, "a < b", false, 0,
			"<request>\n\t<headertext>a &lt; b</headertext>\n\t<options>\n\t\t<option command=\"1\" order=\"1\" callback=\"http://127.0.0.1/ussd\" display=\"False\" ></option>\n\t</options>\n</request>", nil,
		},
		{
			"GET /ussd?request=1&msisdn=12345&ussdSessionId=123&provider=ZZ", "",
			message.SessionResume, "12345", "*120*666#", "1", "", "bye", true, 0, "<request>\n\t<headertext>bye</headertext>\n</request>", nil,
		},
	}},
	{"generic", "generic", nil, []turn{
		{
			"POST /", "content=hello&to_addr=555&from_addr=123&session_event=new", message.SessionNew, "123", "555", "hello", "{}", "hi", false, 0, "hi", nil,
		},
		{"POST /", `{"content": "hello", "to_addr": "555", "from_addr": "123", "group": "g"}`, message.SessionNone, "123", "555", "hello", "", "hi", false, 0, "hi", nil},
		{"PUT /?from_addr=123", "content=bye&to_addr=555&session_event=close", message.SessionClose, "123", "555", "bye", "", "", false, 0, "", nil},
	}},
}

// Every preset makes of its gateway's requests the messages that Vumi's transports made,
// and of replies the answers that the gateway wants.
func TestPresets(t *testing.T) {
	tried := map[string]bool{}
	for _, d := range dialogues {
		tried[d.provider] = true
		t.Run(d.name, func(t *testing.T) {
			s := start(t, remember(t), func(tr *Transport) {
				tr.Provider = d.provider
				if d.change != nil {
					d.change(tr)
				}
			})
			for i, turn := range d.turns {
				s.takesTurn(t, i, turn)
			}
		})
	}
	for _, name := range Presets() {
		if !tried[name] {
			t.Errorf("nothing is tried of %s", name)
		}
	}
}

func (s *server) takesTurn(t *testing.T, i int, turn turn) {
	t.Helper()
	answer := s.asks(t, turn.ask, turn.body)
	if turn.from != "" {
		m := s.Next(t)
		if m.SessionEvent != turn.session || m.From != turn.from || m.To != turn.to || m.Content != turn.content {
			t.Errorf("turn %d made %s", i, m.Encode())
		}
		m.TransportMetadata.Delete(metadataKey)
		if got := m.TransportMetadata.String(); turn.metadata != "" && compact(got) != compact(turn.metadata) {
			t.Errorf("turn %d has the transport_metadata %s", i, got)
		}
		if turn.reply != "" {
			r := m.Reply(turn.reply)
			if turn.ends {
				message.EndSession(r, m)
			}
			if _, err := s.Send(within(t), r); err != nil {
				t.Fatalf("turn %d: %v", i, err)
			}
		}
	}
	a := <-answer
	if want := cmp.Or(turn.status, 200); a.status != want || a.body != turn.answer && (turn.answer == "" || !strings.Contains(a.body, turn.answer)) {
		t.Errorf("turn %d was answered\n%d %q, want\n%d %q", i, a.status, a.body, want, turn.answer)
	}
	for name, value := range turn.headers {
		if got := a.header.Get(name); got != value {
			t.Errorf("turn %d: header %s is %q, want %q", i, name, got, value)
		}
	}
	if a.header.Get("Content-Type") == "" {
		t.Errorf("turn %d has no Content-Type", i)
	}
}

func compact(text string) string {
	var v any
	_ = json.Unmarshal([]byte(text), &v)
	out, _ := json.Marshal(v)
	return string(out)
}

// FuzzRequests: whatever a gateway asks, the answer is no panic and no 500, and what is
// published can be read again.
func FuzzRequests(f *testing.F) {
	for _, d := range dialogues {
		for _, turn := range d.turns {
			method, path, _ := strings.Cut(turn.ask, " ")
			f.Add(d.provider, method, path, turn.body)
		}
	}
	f.Fuzz(func(t *testing.T, provider, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return
		}
		tr := NewPreset(provider)
		if tr.Validate() != nil {
			return
		}
		out := transporttest.NewPublisher()
		tr.ReplyExpected = false
		if err := tr.Provision(t.Context(), transports.Env{Name: "ussd", Logger: tr.logger, Registerer: prometheus.NewRegistry()}); err != nil {
			t.Fatal(err)
		}
		q := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1/", strings.NewReader(body))
		q.URL = u
		for _, kind := range []string{"application/x-www-form-urlencoded", "application/json", "text/xml"} {
			q.Header.Set("Content-Type", kind)
			q.Body = io.NopCloser(strings.NewReader(body))
			w := httptest.NewRecorder()
			newRun(t.Context(), tr, out).ServeHTTP(w, q)
			if w.Code == 500 {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
		}
		for _, m := range out.All() {
			if _, err := message.Decode(m.Encode()); err != nil {
				t.Errorf("%s: %v", m.Encode(), err)
			}
		}
	})
}
