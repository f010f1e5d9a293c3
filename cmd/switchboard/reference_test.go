package main

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchboard/applications"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/internal/catalogue"
	"switchboard/internal/reference"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/transports/http"
	"switchboard/worker"
)

//go:generate go test . -run ^(TestReference|TestChannels)$ -update

var update = flag.Bool("update", false, "write docs/reference in place of comparing with it")

const referenceDir = "../../docs/reference"

// docs/reference is what the source says: the keys of every class, their
// defaults, and the comments of the fields.
func TestReference(t *testing.T) {
	sources := &reference.Sources{Root: "../.."}
	pages := map[string]string{"README.md": index(), "errors.md": errorsPage(t)}
	for name, page := range referencePages() {
		text, err := page.Markdown(sources)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = text
	}
	if *update {
		write(t, pages)
	}
	found, err := filepath.Glob(filepath.Join(referenceDir, "*.md"))
	if err != nil || len(found) != len(pages) {
		t.Errorf("docs/reference has the pages %v, not those of %v: make generate (%v)", found, slices.Sorted(maps.Keys(pages)), err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(referenceDir, name))
		if err != nil {
			t.Errorf("%v: make generate", err)
			continue
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("docs/reference/%s is not what the source says; make generate (-source +page):\n%s", name, diff)
		}
	}
}

func write(t *testing.T, pages map[string]string) {
	t.Helper()
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(referenceDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const common = "A worker's file has, beside the keys below, those [every worker has](every-worker.md)."

func referencePages() map[string]reference.Page {
	known := classes()
	settings, routing, line, app := worker.DefaultSettings(), dispatcher.DefaultOptions(), transports.DefaultOptions(), applications.DefaultOptions()
	shared := reference.Keys(&settings)
	return map[string]reference.Page{
		"every-worker.md": {
			Title: "Keys of every worker",
			Intro: "They stand at the top level of its file. What to write where a page says *duration*: `90s`, `5m`, `1h30m`, or a number of seconds.\n" +
				"A *secret* is `${NAME}`, from the environment, or `file:PATH`.\n" +
				"A file without a key that is *required* does not load, unless another key takes its place, as the text then says.\n" +
				"`middleware` lists what is laid around the worker: see [middleware](middleware.md).",
			Structs: []reference.Struct{{Name: "Settings", Value: &settings}},
		},
		"dispatchers.md": {
			Title: "Dispatchers and their routers",
			Intro: "`router_class` names the router. " + common + "\n[What every router owes](../routers.md) compares them with Vumi's.",
			Structs: slices.Concat([]reference.Struct{{Name: "Every dispatcher", Value: &routing, Except: shared}},
				structs(known.Routers)),
		},
		"transports.md": {
			Title: "Transports",
			Intro: "`transport_class` names the transport. " + common,
			Structs: slices.Concat([]reference.Struct{{Name: "Every transport", Value: &line, Except: shared}},
				structs(known.Transports, "transport_name")),
		},
		"applications.md": {
			Title: "Applications",
			Intro: "`application_class` names the application. " + common + "\n[The tutorial](../tutorial-application.md) makes one.",
			Structs: slices.Concat([]reference.Struct{{Name: "Every application", Value: &app, Except: shared}},
				structs(known.Applications, "transport_name")),
		},
		"workers.md": {
			Title: "Workers that stand alone", Intro: "`worker_class` names the worker. " + common,
			Structs: structs(known.Workers, shared...),
		},
		"middleware.md": {
			Title: "Middleware",
			Intro: "`middleware` lists, in a worker's file, names and classes; the keys of each stand under its name at the top level.\n" +
				"[How middleware works](../middleware.md) has examples.",
			Structs: structs(known.Middleware),
		},
	}
}

func structs[T any](classes map[string]fleet.Class[T], except ...string) []reference.Struct {
	var all []reference.Struct
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		class := classes[name]
		all = append(all, reference.Struct{Name: name, Vumi: class.Vumi, About: class.About, Value: class.New(), Except: except})
	}
	return all
}

// errorsPage is the catalogue of errors: HTTP's own, each preset's, and SMPP's.
func errorsPage(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	out.WriteString(reference.Generated + "# Errors of the channels\n\n" +
		"What a nack or a failed delivery report says, and `switchboard trace` and `messages` print. The class says what\n" +
		"becomes of the message: [HTTP providers](../channels-http.md#what-becomes-of-a-message) has them all. A code that is not here\n" +
		"goes by the HTTP status, or for SMPP by what the SMSC says.\n")
	section := func(title string, codes []string, of func(string) catalogue.Problem) {
		out.WriteString("\n## " + title + "\n\n| code | class | what it means | what to do |\n|---|---|---|---|\n")
		for _, code := range codes {
			p := of(code)
			out.WriteString("| " + code + " | " + string(p.Class) + " | " + p.Text + " | " + p.Do + " |\n")
		}
	}
	fromMap := func(title string, problems options.Map[catalogue.Problem]) {
		var codes []string
		for _, p := range problems {
			codes = append(codes, p.Key)
		}
		section(title, codes, func(code string) catalogue.Problem { p, _ := problems.Get(code); return p })
	}
	fromMap("Every HTTP provider", http.Common())
	for _, name := range http.Presets() {
		d, _, err := http.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Errors) > 0 {
			fromMap("`"+name+"`: "+d.About, d.Errors)
		}
	}
	smpp := catalogue.SMPP()
	section("SMPP: command statuses, words of receipts, and their err", slices.Sorted(maps.Keys(smpp)), func(code string) catalogue.Problem { return smpp[code] })
	return out.String()
}

// pageOf says on which page the classes of a kind are.
var pageOf = map[string]string{
	"application": "applications.md", "middleware": "middleware.md", "router": "dispatchers.md",
	"transport": "transports.md", "worker": "workers.md",
}

func index() string {
	var out strings.Builder
	out.WriteString(reference.Generated + "# Reference of the classes\n\n" +
		"Every class this program knows, with all its YAML keys. [Every worker](every-worker.md) has some keys in common.\n" +
		"[The errors](errors.md) of every channel, and what to do about them.\n\n" +
		"| kind | class | what it does |\n|---|---|---|\n")
	for _, c := range classes().List() {
		out.WriteString("| " + c.Kind + " | [" + c.Name + "](" + pageOf[c.Kind] + "#" + c.Name + ") | " + c.About + " |\n")
	}
	return out.String()
}
