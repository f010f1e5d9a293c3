package menu_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"switchboard/applications/applicationtest"
	"switchboard/applications/menu"
	"switchboard/message"
)

func start(t *testing.T, yaml string) *applicationtest.Worker {
	t.Helper()
	app := menu.New()
	if err := applicationtest.Configure(app, yaml); err != nil {
		t.Fatal(err)
	}
	return applicationtest.Start(t, app)
}

// A real server is asked, and what a person wrote cannot change the request.
// What a person writes in a URL's path leads nowhere else.
func TestHTTPPath(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.RequestURI) }))
	defer server.Close()
	w := start(t, `
allow_private: true
screens:
  number: {text: "Number?", ask: number, next: saved}
  saved: {http: {url: "`+server.URL+`/accounts/{number}/balance?n={number}", failed: sorry}, text: Done.}
  sorry: {text: Sorry.}
`)
	for _, number := range []string{"..", ".", "../../admin", `..\\x`} {
		w.Talk("a", "hi", "Number?", number, "Sorry.")
	}
	w.Talk("a", "hi", "Number?", "a b?c", "Done.")
	if want := []string{"/accounts/a%20b%3Fc/balance?n=a+b%3Fc"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

func TestHTTP(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.RawQuery+" "+r.Header.Get("X-Key")+" "+string(body))
		if r.Header.Get("Idempotency-Key") == "" {
			t.Error("no Idempotency-Key")
		}
		if strings.Contains(string(body), "nobody") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"list": [{"n": 3}], "yes": true}`))
	}))
	defer server.Close()
	yaml := `
allow_private: true
screens:
  name: {text: "Name?", ask: name, next: saved}
  saved:
    http:
      url: ` + server.URL + `/x?q={name}
      headers: {X-Key: secret}
      body: {name: "{name}"}
      save: {n: list.0.n, yes: "yes", code: status}
      failed: sorry
    text: "{n} {yes} {code}"
  sorry: {text: Sorry.}
`
	w := start(t, yaml)
	w.Talk("a", "hi", "Name?", `A&b=c"`, "3 true 200", "hi", "Name?", "nobody", "Sorry.")
	if want := `POST q=A%26b%3Dc%22 secret {"name":"A\u0026b=c\""}`; len(asked) != 2 || asked[0] != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	start(t, strings.Replace(yaml, "allow_private: true", "", 1)).Talk("a", "hi", "Name?", "x", "Sorry.")
	if len(asked) != 2 {
		t.Error("a private address was asked")
	}
}

// A second copy of an answer is not a second answer.
func TestSecondCopy(t *testing.T) {
	w := start(t, `
screens:
  one: {text: "1", ask: a, next: two}
  two: {text: "2 {a}", ask: b, next: three}
  three: {text: "{a} {b}"}
`)
	w.Talk("a", "hi", "1")
	m := applicationtest.From("a", "x")
	for range 2 {
		again := m.Clone()
		again.RoutingMetadata.Set(message.AgainKey, true)
		if got := w.Receive(again); len(got) != 1 || got[0].Content != "2 x" {
			t.Fatalf("got %q", applicationtest.Texts(got))
		}
	}
	w.Talk("a", "y", "x y")
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                                 "screens: is missing",
		"screens: {a: {text: x, next: b}}": "screens.a.next: comes after no answer",
		"screens: {a: {text: x, ask: n, next: bb}, b: {text: x}}":                      `screens.a.next: leads to no screen: "bb"; did you mean "b"?`,
		"screens: {a: {text: '{nmae}', ask: name, next: a}}":                           `screens.a.text: nothing is called {nmae} here; did you mean "name"?`,
		"screens: {a: {text: x, ask: n, check: n > 1, next: a}}":                       "screens.a.check: invalid operation",
		"screens: {a: {text: x, ask: n, check: m == '1', next: a}}":                    `did you mean "n"?`,
		"screens: {a: {text: x, ask: n, check: 'len(1..9) > 1', next: a}}":             "ranges are not allowed",
		"screens: {a: {text: x, choices: [{label: l, next: c}]}}":                      "screens.a.choices.0.next: leads to no screen",
		"screens: {a: {text: x, choices: [{label: l, next: a, set: {language: sw}}]}}": `"sw" is not among languages`,
		"screens: {a: {text: x, choices: [{next: a}]}}":                                "choices.0.label: is missing",
		"screens: {a: {text: x, ask: from, next: a}}":                                  "from is what every message has",
		"screens: {a: {http: {url: 'https://{from}/x', failed: a}, text: x}}":          "must name its host",
		"screens: {a: {http: {url: 'file:///x', failed: a}, text: x}}":                 "write http://",
		"screens: {a: {http: {url: 'https://x.example', failed: b}, text: x}}":         "screens.a.http.failed: leads to no screen",
		"screens: {a: {txet: x}}":                                                      `unknown key "txet" in screens.a; did you mean "text"?`,
		"screens: {a: {text: x}}\ntimeout: 0":                                          "timeout: must be above 0",
	} {
		if err := applicationtest.Configure(menu.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
}

func TestLint(t *testing.T) {
	for yaml, want := range map[string]string{
		"screens: {a: {text: x}, b: {text: y}}":                                                                       "screens.b: is never shown",
		"languages: [en, sw]\ninvalid: {en: x, sw: y}\nscreens: {a: {text: {en: x}}}":                                 "screens.a.text: has no text in sw; who speaks it gets the one in en",
		"languages: [en, sw]\ninvalid: {en: x, sw: y}\nscreens: {a: {text: {en: x, sw: y, fr: z}}}":                   "screens.a.text.fr: is in no language",
		"languages: [en, sw]\ninvalid: {en: x, sw: y}\nscreens: {a: {text: x}}":                                       "is the same in en, sw",
		"screens: {a: {text: x, choices: [{label: l, next: b}, {label: l, next: b}]}, b: {text: y}}":                  "choices.1: has the label of a choice before it",
		"screens: {a: {text: x, ask: n, branches: [{when: n == '1', next: c}], next: b}, b: {text: y}, c: {text: z}}": "<nil>",
	} {
		app := menu.New()
		if err := applicationtest.Configure(app, yaml); err != nil {
			t.Errorf("%q: %v", yaml, err)
			continue
		}
		if got := fmt.Sprint(app.Lint()); !strings.Contains(got, want) {
			t.Errorf("%q: %s, not %s", yaml, got, want)
		}
	}
}

// Screens that only lead on to each other end as a dead letter.
func TestNoEnd(t *testing.T) {
	w := start(t, "screens: {a: {next: b}, b: {next: a}}")
	if got := w.Fails(applicationtest.From("a", "hi")); !strings.Contains(got, "without end") {
		t.Errorf("failed with %q", got)
	}
}
