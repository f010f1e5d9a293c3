package script_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchboard/applications/applicationtest"
	"switchboard/applications/script"
	"switchboard/internal/testutil"
	"switchboard/message"
)

// start runs a script, with more of the file in yaml.
func start(t *testing.T, code, yaml string) *applicationtest.Worker {
	t.Helper()
	path := filepath.Join(t.TempDir(), "it.js")
	if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	app := script.New()
	if err := applicationtest.Configure(app, "file: "+path+"\n"+yaml); err != nil {
		t.Fatal(err)
	}
	return applicationtest.Start(t, app)
}

func TestTalks(t *testing.T) {
	w := start(t, `
function onMessage(message) {
	var n = (state.get("n") || 0) + 1;
	state.set("n", n);
	var all = shared.get("all") || [];
	all.push(message.from);
	shared.set("all", all);
	if (message.content === "forget") { state.delete("n"); }
	if (message.content === "bye") { reply("bye", {end: true}); return; }
	if (message.content === "tell") { send({to: "+9", text: "psst", endpoint: "sms"}); return; }
	return config.greeting + " " + n + " " + all.join("");
}`, "config: {greeting: hello}")
	w.Talk("a", "hi", "hello 1 a", "hi", "hello 2 aa", "forget", "hello 3 aaa", "hi", "hello 1 aaaa")
	w.Talk("b", "hi", "hello 1 aaaab")
	if bye := w.Receive(applicationtest.From("a", "bye")); len(bye) != 1 || bye[0].SessionEvent != message.SessionClose {
		t.Errorf("got %q", applicationtest.Texts(bye))
	}
	told := w.Receive(applicationtest.From("a", "tell"))
	if len(told) != 1 || told[0].To != "+9" || told[0].Content != "psst" || told[0].Endpoint() != "sms" {
		t.Errorf("got %q", applicationtest.Texts(told))
	}
}

// A second copy of a message is not counted again, and gets the same answer.
func TestSecondCopy(t *testing.T) {
	w := start(t, `function onMessage(m) { var n = (state.get("n") || 0) + 1; state.set("n", n); return "" + n; }`, "")
	m := applicationtest.From("a", "x")
	for range 2 {
		again := m.Clone()
		again.RoutingMetadata.Set(message.AgainKey, true)
		if got := applicationtest.Texts(w.Receive(again)); got[0] != "1" {
			t.Errorf("got %q", got)
		}
	}
}

// After a connection is lost, all that was in flight comes again.
func TestSecondCopiesOfSeveral(t *testing.T) {
	w := start(t, `function onMessage(m) { var n = (state.get("n") || 0) + 1; state.set("n", n); return "" + n; }
function onClose(m) { shared.set("closed", (shared.get("closed") || 0) + 1); }`, "")
	one, two, closing := applicationtest.From("a", "x"), applicationtest.From("a", "y"), applicationtest.From("a", "")
	closing.SessionEvent = message.SessionClose
	for range 2 {
		for i, m := range []*message.Message{one, two} {
			if got := applicationtest.Texts(w.Receive(m.Clone())); got[0] != strconv.Itoa(i+1) {
				t.Errorf("message %d is answered with %q", i+1, got)
			}
		}
		w.Receive(closing.Clone())
	}
}

// Nobody reads what is said after the end of a session.
func TestOnCloseCannotSend(t *testing.T) {
	w := start(t, `function onMessage(m) { return "" + shared.get("n"); }
function onClose(m) { shared.set("n", 1); send({to: "b", text: "bye"}); }`, "")
	closing := applicationtest.From("a", "")
	closing.SessionEvent = message.SessionClose
	if got := w.Fails(closing); !strings.Contains(got, "onClose cannot send") {
		t.Errorf("failed with %q", got)
	}
	w.Talk("a", "x", "undefined")
}

// Whatever a script does, its message is dead-lettered with the reason and the
// line, and the worker answers the next one.
func TestStopped(t *testing.T) {
	for what, c := range map[string]struct{ code, want string }{
		"loops":                     {"while (true) {\nm.x = 1;\n}", "too long (timeout) (%:"},
		"loops and catches":         {"for (;;) { try { for (;;) {} } catch (e) {} finally {} }", "too long (timeout)"},
		"allocates":                 {"var a = [], s = 'x'.repeat(1000); for (;;) { a.push(s.repeat(1000)) }", "bytes of memory (max_memory) (%:4)"},
		"doubles":                   {"var s = 'x'; for (;;) { s += s; }", "(%:4)"},
		"doubles a list":            {"var a = [1]; for (;;) { a = a.concat(a); }", "(%:4)"},
		"repeats":                   {"'x'.repeat(1e9)", "repeat would take more than 1048576 characters or items (%:4)"},
		"pads":                      {"'x'.padEnd(1e9)", "padEnd would take more"},
		"fills":                     {"new Array(1e9).fill(0)", "fill would take more"},
		"joins":                     {"new Array(1e9).join('x')", "join would take more"},
		"makes a list of nothing":   {"Array.from({length: 1e9})", "from would take more"},
		"takes a length":            {"var a = []; a.length = 4e9; for (var i in a) {} a.sort()", "sort would take more"},
		"applies":                   {"Math.max.apply(null, {length: 1e9})", "apply would take more"},
		"spreads":                   {"var a = [...new Array(1e8)]", "would take more"},
		"spreads a length":          {"var a = []; a.length = 4e9; [...a]", "would take more"},
		"writes JSON":               {"var a = []; a.length = 4e9; JSON.stringify({toJSON: function () { return a; }})", "stringify would take more"},
		"returns a list":            {"var a = []; a.length = 4e9; return a + ''", "would take more"},
		"throws what loops":         {"throw {toString: function () { for (;;) {} }}", "it.js:4"},
		"joins long texts":          {"new Array(1 << 20).join('y'.repeat(1 << 20))", "join would take more"},
		"joins lists of lists":      {"var b = ['y'.repeat(1 << 19)]; [b, b, b].join()", "join would take more"},
		"replaces all":              {"'x'.repeat(1 << 20).replaceAll('x', 'y'.repeat(1 << 20))", "replaceAll would take more"},
		"replaces by what is there": {"'x'.repeat(1 << 20).replace(/x/g, \"$'\")", "replace would take more"},
		"flattens":                  {"[[1]].flat()", "TypeError"},
		"concatenates lists":        {"var b = []; b.length = 1 << 19; [].concat(b, b, b)", "concat would take more"},
		"reads deep JSON":           {"var s = '['.repeat(1 << 19); JSON.parse(s)", "nested so deep"},
		"compiles":                  {"(function () {}).constructor('return 1')", "TypeError"},
		"compiles, generating":      {"(function* () {}).constructor('return 1')", "TypeError"},
		"names the compiler":        {"new Function('return 1')", "Function is not defined"},
		"matches a huge pattern":    {"new RegExp('('.repeat(1 << 19))", "a pattern may have at most 1000"},
		"matches a huge text":       {"'x'.match('('.repeat(1 << 19))", "a pattern may have at most 1000"},
		"constructs by a pattern":   {"new (/x/.constructor)('('.repeat(1 << 19))", "a pattern may have at most 1000"},
		"buffers":                   {"new ArrayBuffer(1e9)", "ArrayBuffer is not defined (%:4)"},
		"undoes a limit":            {"String.prototype.repeat = null", "TypeError"},
		"backtracks":                {"/^(a+)+(?=b)$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'); for (;;) {}", "(%:4)"},
		"recurses":                  {"(function f() { f(); })()", "more than 500 deep (%:4)"},
		"floods":                    {"for (;;) reply('x')", "more than 10 messages (max_sends) (%:4)"},
		"floods the store":          {"for (var i = 0;; i++) state.set('k' + i, 1)", "more than 100 values"},
		"reads without end":         {"for (var i = 0;; i++) state.get('k' + i)", "more than 100 calls (max_calls)"},
		"logs without end":          {"for (;;) log('x')", "more than 100 calls"},
		"stores much":               {"state.set('k', 'x'.repeat(70000))", "more than 65536 bytes under one key"},
		"says much":                 {"reply('x'.repeat(70000))", "a text of more than 65536 bytes"},
		"throws":                    {"throw new Error('no')", "the script failed: Error: no (%:4)"},
		"uses what is not there":    {"require('fs')", "require is not defined (%:4)"},
		"asks":                      {"http.get('http://127.0.0.1/')", "no host may be asked"},
		"sends to nobody":           {"send({text: 'x'})", "to is missing"},
		"stores itself":             {"var a = {}; a.a = a; state.set('k', a)", "circular"},
	} {
		t.Run(what, func(t *testing.T) {
			limit := "10s" // a busy machine must not stop first what is refused for another reason
			if strings.Contains(c.want, "timeout") || c.want == "(%:4)" || c.want == "it.js:4" {
				limit = "500ms"
			}
			if strings.Contains(c.want, "max_memory") {
				runtime.GC() // what the cases before it left would be in the heap it is measured from
			}
			w := start(t, "\nfunction onMessage(m) {\nif (m.content === 'ping') return 'pong';\n"+c.code+"\n}", "timeout: "+limit+"\nmax_memory: 20000000")
			began := time.Now()
			got := w.Fails(applicationtest.From("a", "x"))
			for part := range strings.SplitSeq(strings.ReplaceAll(c.want, "%", "it.js"), "|") {
				if !strings.Contains(got, strings.TrimPrefix(part, "(")) {
					t.Errorf("failed with %q, not %q, after %s", got, part, time.Since(began))
				}
			}
			w.Talk("a", "ping", "pong")
		})
	}
}

// A script may be stopped and its message must not have stored anything.
func TestNothingIsStoredOfAFailure(t *testing.T) {
	w := start(t, `function onMessage(m) { state.set("n", m.content); if (m.content === "x") throw 1; return "was " + state.get("m"); }
function onClose(m) { state.set("m", "closed"); }`, "")
	w.Fails(applicationtest.From("a", "x"))
	closing := applicationtest.From("a", "")
	closing.SessionEvent = message.SessionClose
	w.Receive(closing)
	w.Talk("a", "y", "was closed")
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		_, _ = w.Write([]byte(`{"m": "` + r.Method + r.Header.Get("X-A") + `"}`))
	}))
	defer server.Close()
	code := `function onMessage(m) {
	try {
		if (m.content === "post") return http.post(config.url, {a: 1}, {"X-A": "2"}).json().m;
		return http.get(config.url + m.content).status + "";
	} catch (e) { return "sorry"; }
}`
	settings := "timeout: 5s\nallow_hosts: 127.0.0.1\nconfig: {url: '" + server.URL + "'}\n"
	w := start(t, code, settings+"allow_private: true")
	w.Talk("a", "", "200", "post", "POST2")
	start(t, code, settings).Talk("a", "", "sorry")                                                                       // a private address
	start(t, code, strings.Replace(settings, "127.0.0.1", "example.org", 1)+"allow_private: true").Talk("a", "", "sorry") // not listed
	slow := start(t, code, strings.Replace(settings, "5s", "100ms", 1)+"allow_private: true")
	if got := slow.Fails(applicationtest.From("a", "/slow")); !strings.Contains(got, "took") {
		t.Errorf("failed with %q", got)
	}
}

// A change is taken up; one that is wrong is not.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it.js")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	write("function onMessage() { return 'one' }", now)
	app := script.New()
	if err := applicationtest.Configure(app, "file: "+path); err != nil {
		t.Fatal(err)
	}
	w := applicationtest.Start(t, app)
	w.Talk("a", "x", "one")
	await := func(want string) {
		t.Helper()
		testutil.Eventually(t, "it says "+want, func() bool { return w.Says("a", "x")[0] == want })
	}
	write("function onMessage() { return 'two' }", now.Add(time.Minute))
	await("two")
	write("function onMessage( {", now.Add(2*time.Minute))
	await("two")
	write("function onMessage() { return 'three' }", now.Add(3*time.Minute))
	await("three")
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                        "file: must name the script",
		"file: not_there.js":      "no such file",
		"code: 'function onM( {'": "code: does not compile: SyntaxError: code: Line 1",
		"code: x\ntimeout: 0":     "timeout: must be above 0",
		"code: x\nmax_memory: -1": "max_memory: must be above 0",
		"code: x\ntimout: 0":      `did you mean "timeout"?`,
	} {
		if err := applicationtest.Configure(script.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
}
