package options

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Port int `yaml:"port"`
}

type settings struct {
	Name    string     `yaml:"name"`
	Targets Names      `yaml:"targets"`
	Pass    Secret     `yaml:"password"`
	Wait    Duration   `yaml:"wait"`
	In      inner      `yaml:"in"`
	Order   Map[Names] `yaml:"order"`
	Rules   []inner    `yaml:"rules"`
	Deep    Map[inner] `yaml:"deep"`
	Addr    string     `yaml:"addr"`
}

func env(name string) (string, bool) {
	v, ok := map[string]string{"PORT": "7070", "PW": "s3cret"}[name]
	return v, ok
}

func read(t *testing.T, text string) (settings, *Document, error) {
	t.Helper()
	s := settings{Name: "default"}
	d, err := Parse("w.yaml", []byte(text), env)
	if err != nil {
		return s, d, err
	}
	if err := d.Into(&s); err != nil {
		return s, d, err
	}
	return s, d, d.Rest()
}

func TestDecodesOverDefaults(t *testing.T) {
	s, d, err := read(t, `
targets: a
password: ${PW}
wait: 1.5
in:
  port: ${PORT}
order: {z: 1, a: [x, y]}
addr: 0123
`)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "default" || s.Targets[0] != "a" || s.Wait.Std() != 1500*time.Millisecond || s.Addr != "0123" {
		t.Errorf("got %+v", s)
	}
	if s.Order[0].Key != "z" || s.Order[1].Value[1] != "y" {
		t.Errorf("order lost: %+v", s.Order)
	}
	if s.Pass.Reveal() != "s3cret" || strings.Contains(s.Pass.String(), "s3cret") {
		t.Error("the secret is wrong or shown")
	}
	if len(d.Warnings()) != 0 {
		t.Errorf("unexpected warnings %v", d.Warnings())
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":       {"nam: x", `w.yaml:1: unknown key "nam"; did you mean "name"?`},
		"nested":            {"name: x\nin:\n  prt: 1", `w.yaml:3: unknown key "prt" in in; did you mean "port"?`},
		"in a list":         {"rules:\n - port: 1\n - pord: 2", `w.yaml:3: unknown key "pord" in rules.1; did you mean "port"?`},
		"in an ordered map": {"deep:\n  x: {prot: 1}", `w.yaml:2: unknown key "prot" in deep.x; did you mean "port"?`},
		"type":              {"in:\n  port: many", `w.yaml:2: in.port must be a whole number, not "many"`},
		"half a number":     {"in:\n  port: 0.5", `w.yaml:2: in.port must be a whole number, not "0.5"`},
		"list for a number": {"in:\n  port: [1]", "w.yaml:2: in.port must be a whole number, not a list"},
		"text for a list":   {"rules: yes", `w.yaml:1: rules must be a list, not "yes"`},
		"duration":          {"name: a\nwait: soon", `w.yaml:2: wait: "soon" is no duration`},
		"twice":             {"name: a\nname: b", "w.yaml:2: name is there twice; the first is in line 1"},
		"no variable":       {"name: ${NOPE}", "w.yaml:1: the environment variable NOPE is not set"},
		"no mapping":        {"- a", "w.yaml:1: the file must be a mapping"},
		"no yaml":           {"a: [", "w.yaml:1: this is no YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestSecretInClearIsWarnedOf(t *testing.T) {
	_, d, err := read(t, "password: hunter2")
	if err != nil || len(d.Warnings()) != 1 || strings.Contains(d.Warnings()[0], "hunter2") {
		t.Errorf("got %v, %v", err, d.Warnings())
	}
}

type formerly struct {
	Name  string   `yaml:"name"`
	Inner formerIn `yaml:"inner"`
}

type formerIn struct {
	N int `yaml:"n"`
}

func (formerly) IgnoredKeys() map[string]string { return map[string]string{"old": "new is better"} }
func (formerIn) IgnoredKeys() map[string]string { return map[string]string{"m": "n counts"} }

// Keys that a struct ignores are warned of, at each level; others are refused.
func TestIgnoredKeys(t *testing.T) {
	doc, err := Parse("w.yaml", []byte("NAME: x\nold: {a: 1}\ninner: {n: 2, m: 3}\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if !doc.Rename("NAME", "name") || doc.Rename("NAME", "name") {
		t.Error("Rename does not say whether the key was there")
	}
	var got formerly
	if err := errors.Join(doc.Into(&got), doc.Rest()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"w.yaml:1: NAME is written name here", "w.yaml:3: m in inner is ignored: n counts", "w.yaml:2: old is ignored: new is better",
	}
	if diff := cmp.Diff(want, doc.Warnings()); diff != "" || got.Name != "x" || got.Inner.N != 2 {
		t.Errorf("got %+v, warnings (-want +got):\n%s", got, diff)
	}
}
