package options

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

type scalars struct {
	Flag  bool              `yaml:"flag"`
	Byte  uint8             `yaml:"byte"`
	Whole int               `yaml:"whole"`
	Part  float64           `yaml:"part"`
	Text  string            `yaml:"text"`
	Maybe *bool             `yaml:"maybe"`
	Plain map[string]string `yaml:"plain"`
	Free  map[string]any    `yaml:"free"`
	At    time.Time         `yaml:"at"`
	Wait  Duration          `yaml:"wait"`
	Pass  Secret            `yaml:"password"`
	List  []scalars         `yaml:"list"`
	Names Names             `yaml:"names"`
	Map   Map[int]          `yaml:"map"`
}

func decodeScalars(text string, inspect bool) (s scalars, err error) {
	d, err := parse(&Document{Path: "w.yaml", inspected: inspect}, []byte(text), env)
	if err != nil {
		return s, err
	}
	if err := d.Into(&s); err != nil {
		return s, err
	}
	return s, d.Rest()
}

func TestScalarsAsPythonReadsThem(t *testing.T) {
	for text, want := range map[string]func(scalars) bool{
		"flag: 1":               func(s scalars) bool { return s.Flag },
		"flag: 'true'":          func(s scalars) bool { return s.Flag },
		"flag: True":            func(s scalars) bool { return s.Flag },
		"flag: on":              func(s scalars) bool { return s.Flag },
		"maybe: 0":              func(s scalars) bool { return s.Maybe != nil && !*s.Maybe },
		"maybe: ~":              func(s scalars) bool { return s.Maybe == nil },
		"whole: '10'":           func(s scalars) bool { return s.Whole == 10 },
		"whole: '010'":          func(s scalars) bool { return s.Whole == 10 },
		"whole: 010":            func(s scalars) bool { return s.Whole == 8 },
		"whole: 0x1F":           func(s scalars) bool { return s.Whole == 31 },
		"whole: 1_000":          func(s scalars) bool { return s.Whole == 1000 },
		"whole: +5":             func(s scalars) bool { return s.Whole == 5 },
		"whole: 10.0":           func(s scalars) bool { return s.Whole == 10 },
		"whole: 1e3":            func(s scalars) bool { return s.Whole == 1000 },
		"byte: '255'":           func(s scalars) bool { return s.Byte == 255 },
		"part: '0.5'":           func(s scalars) bool { return s.Part == 0.5 },
		"part: 2":               func(s scalars) bool { return s.Part == 2 },
		"text: 0123":            func(s scalars) bool { return s.Text == "0123" },
		"text: yes":             func(s scalars) bool { return s.Text == "yes" },
		"plain: {a: 1, 2: b}":   func(s scalars) bool { return s.Plain["a"] == "1" && s.Plain["2"] == "b" },
		"free: {a: [1, x, ~]}":  func(s scalars) bool { return fmt.Sprint(s.Free) == "map[a:[1 x <nil>]]" },
		"at: 2026-01-31":        func(s scalars) bool { return s.At.Year() == 2026 && s.At.Day() == 31 },
		"wait: '5'":             func(s scalars) bool { return s.Wait.Std() == 5*time.Second },
		"names: 27831":          func(s scalars) bool { return len(s.Names) == 1 && s.Names[0] == "27831" },
		"map: {b: '2', a: 1.0}": func(s scalars) bool { return s.Map[0] == Pair[int]{"b", 2} && s.Map[1] == Pair[int]{"a", 1} },
		"list: [{<<: &x {whole: 1, text: a}, whole: 2}, *x]": func(s scalars) bool {
			return s.List[0].Whole == 2 && s.List[0].Text == "a" && s.List[1].Whole == 1
		},
	} {
		if s, err := decodeScalars(text, false); err != nil || !want(s) {
			t.Errorf("%s: got %+v, %v", text, s, err)
		}
	}
}

// Every error about a value names its line and its key.
func TestErrorsNameKeyAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"flag: maybe":                       `w.yaml:2: flag must be true or false, not "maybe"`,
		"flag: 2":                           `w.yaml:2: flag must be true or false, not "2"`,
		"byte: 256":                         `w.yaml:2: byte must be a whole number from 0 to 255, not "256"`,
		"byte: -1":                          `w.yaml:2: byte must be a whole number from 0 to 255, not "-1"`,
		"whole: 9223372036854775808":        `w.yaml:2: whole must be a whole number of at most 64 bits`,
		"part: .inf":                        `w.yaml:2: part must be a number, not ".inf"`,
		"text: [a]":                         `w.yaml:2: text must be a text, not a list`,
		"at: noon":                          `w.yaml:2: at must be a time such as 2026-01-31T12:00:00Z, not "noon"`,
		"wait: .inf":                        `w.yaml:2: wait: ".inf" is no duration`,
		"wait: 1e300":                       `w.yaml:2: wait: "1e300" is too long a duration`,
		"plain:\n  a: [1]":                  `w.yaml:3: plain.a must be a text, not a list`,
		"map:\n  a: 1\n  a: 2":              `w.yaml:4: map.a is there twice; the first is in line 3`,
		"list:\n- whole: 1\n- whole: x":     `w.yaml:4: list.1.whole must be a whole number, not "x"`,
		"names: {a: b}":                     `w.yaml:2: names must be a list, not a mapping`,
		"password: [a]":                     `w.yaml:2: password must be a text, not a list`,
		"free: &a {b: *a}":                  `is nested deeper than 100 levels`,
		"map: {<<: 1}":                      `w.yaml:2: map.<< must be a mapping of keys to values, not "1"`,
		"password: file:/nonexistent/token": `w.yaml:2: password is a secret that cannot be read`,
	} {
		_, err := decodeScalars("text: a\n"+text, false)
		if strings.HasPrefix(text, "text:") {
			_, err = decodeScalars("flag: 1\n"+text, false)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// A large file full of errors is answered at once, with the first of them.
func TestErrorsAreBounded(t *testing.T) {
	const n = 50_000
	var unknown, wrong, twice strings.Builder
	wrong.WriteString("map:\n")
	twice.WriteString("map:\n")
	for i := range n {
		fmt.Fprintf(&unknown, "key%d: {a: b}\n", i)
		fmt.Fprintf(&wrong, " k%d: {a: b}\n", i)
		twice.WriteString(" same: 1\n")
	}
	bomb := "text: a\nfree:\n  l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("  l%d: &l%d [%s*l%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*l%d, ", i), 9), i)
	}
	for name, text := range map[string]string{"unknown": unknown.String(), "wrong": wrong.String(), "twice": twice.String(), "bomb": bomb} {
		began := time.Now()
		_, err := decodeScalars(text, false)
		if err == nil || strings.Count(err.Error(), "\n") > maxErrors {
			t.Errorf("%s: %.2000v", name, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func TestLocatingIsBounded(t *testing.T) {
	d, err := Parse("w.yaml", []byte("a: 1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for i := range 1000 {
		errs = append(errs, Fieldf("a", "is wrong %d", i))
	}
	if text := d.Locate(joined(errs)).Error(); strings.Count(text, "\n") != maxErrors || !strings.Contains(text, "w.yaml:1: a: is wrong 0") {
		t.Errorf("got %s", text)
	}
}

type joined []error

func (j joined) Error() string   { return "many" }
func (j joined) Unwrap() []error { return j }

// Commands that only look at a fleet need none of its secrets.
func TestInspectNeedsNoSecrets(t *testing.T) {
	t.Parallel()
	text := "password: file:/nonexistent/token\nwhole: ${NOPE}\ntext: a ${NOPE}\nflag: ${NOPE}\nwait: ${NOPE}"
	s, err := decodeScalars(text, true)
	if err != nil || s.Text != "a ${NOPE}" || s.Whole != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
	d, err := parse(&Document{Path: "w.yaml", inspected: true}, []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Locate(joined{Fieldf("whole", "must be above 0"), Fieldf("text", "is wrong")}); err != nil {
		t.Errorf("a value that is not known is wrong: %v", err)
	}
	if _, err := decodeScalars(text, false); err == nil {
		t.Error("a worker that runs got by without its secrets")
	}
	if _, err := os.Stat("/nonexistent"); err == nil {
		t.Fatal("the test needs a path that does not exist")
	}
}
