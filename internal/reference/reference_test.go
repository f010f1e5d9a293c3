package reference

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/options"
)

// sample is what a class looks like.
type sample struct {
	// Host is where it is. Required.
	Host string `yaml:"host"`
	// Wait is how long it waits. Default 1h.
	Wait options.Duration `yaml:"wait"`
	// Password opens it.
	Password options.Secret `yaml:"password"`
	// Names gives a|b.
	Names options.Map[options.Names] `yaml:"names"`
	more  `yaml:",inline"`

	hidden int
}

// more is what it has besides.
type more struct {
	// Steps are done in turn.
	Steps []step `yaml:"steps"`
	// Last is done at the end.
	Last *step `yaml:"last"`
}

type step struct {
	// Do says what.
	Do string `yaml:"do"`
}

func (s *sample) Validate() error {
	return errors.Join(options.Fieldf("host", "is missing"), options.Fieldf("wait", "is fine"))
}

func here() *Sources { return &Sources{Root: "../.."} }

func TestGroups(t *testing.T) {
	s := Struct{Name: "sample", Value: &sample{Wait: options.Duration(time.Hour), Password: "s3cret", hidden: 1}, Except: []string{"names"}}
	got, err := s.Groups(here())
	if err != nil {
		t.Fatal(err)
	}
	want := []Group{
		{Doc: "sample is what a class looks like.", Rows: []Row{
			{Key: "host", Type: "text", Required: true, Doc: "Where it is."},
			{Key: "wait", Type: "duration", Required: true, Doc: "How long it waits. Default 1h."},
			{Key: "password", Type: "secret", Doc: "Opens it."},
		}},
		{Doc: "more is what it has besides.", Rows: []Row{
			{Key: "steps", Type: "list of mappings", Doc: "Done in turn."},
			{Key: "steps[].do", Type: "text", Doc: "Says what."},
			{Key: "last", Type: "mapping", Doc: "Done at the end."},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMarkdown(t *testing.T) {
	text, err := Page{Title: "Samples", Structs: []Struct{
		{Name: "one", About: "the first", Value: &sample{}},
		{Name: "two", About: "the second", Value: &sample{Wait: options.Duration(90 * time.Minute)}, Vumi: []string{"vumi.Two"}},
	}}.Markdown(here())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n## one\n\nThe first.\n\n`one` is what a class looks like.\n",
		"\n| `names` | mapping to names or lists of names |  | Gives a\\|b. |\n",
		"\n## two\n\nThe second.\n\nVumi's name: `vumi.Two`\n\nIts keys are those of [one](#one). The default of `wait` is `1h30m`.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

type silent struct {
	Key string `yaml:"key"`
}

func TestEveryKeyHasAComment(t *testing.T) {
	_, err := Struct{Name: "silent", Value: &silent{}}.Groups(here())
	if err == nil || !strings.Contains(err.Error(), "silent.Key has no comment") {
		t.Errorf("got %v", err)
	}
}
