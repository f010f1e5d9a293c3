package httpapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

//go:embed openapi.yaml
var description []byte

//go:embed page.html
var pageText string

// document is what of openapi.yaml the page shows.
type document struct {
	Info struct {
		Title       string
		Description string
	}
	Paths      operations
	Webhooks   operations
	Components struct {
		Schemas map[string]any
	}
	Problems []*problem `yaml:"-"`
}

type operations map[string]map[string]struct {
	Summary     string
	Description string
	Parameters  []map[string]any
	RequestBody any `yaml:"requestBody"`
	Responses   map[string]any
}

// asJSON is the description as JSON; it is made when somebody asks for it.
var asJSON = sync.OnceValue(func() []byte {
	var all any
	must(yaml.Unmarshal(description, &all))
	text, err := json.Marshal(all)
	must(err)
	return text
})

// asPage is the description as a page that asks for nothing else.
var asPage = sync.OnceValue(func() []byte {
	var shown document
	var page bytes.Buffer
	functions := template.FuncMap{"yaml": asYAML, "upper": strings.ToUpper, "id": problemID}
	must(yaml.Unmarshal(description, &shown))
	shown.Problems = allProblems()
	must(template.Must(template.New("page").Funcs(functions).Parse(pageText)).Execute(&page, shown))
	return page.Bytes()
})

// must is for what is embedded and tested.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// asYAML shows a schema, whose references are links.
func asYAML(schema any) template.HTML {
	text, err := yaml.Marshal(schema)
	must(err)
	shown := template.HTMLEscapeString(string(text))
	for _, prefix := range []string{"#/components/schemas/", "#/components/responses/", "#/components/parameters/"} {
		parts := strings.Split(shown, "$ref: &#39;"+prefix)
		for i := 1; i < len(parts); i++ {
			name, rest, _ := strings.Cut(parts[i], "&#39;")
			parts[i] = fmt.Sprintf(`<a href="#%s">%s</a>%s`, name, name, rest)
		}
		shown = strings.Join(parts, "")
	}
	return template.HTML(shown) //nolint:gosec // it is escaped above, and embedded
}

func allProblems() []*problem {
	p := &problems
	list := []*problem{
		p.unauthorized, p.forbidden, p.invalid, p.notFound, p.unknownReply, p.sessionClosed, p.notAllowed, p.tooLarge, p.rateLimited,
		p.keyReused, p.keyInUse, p.noRecord, p.unavailable,
	}
	slices.SortFunc(list, func(a, b *problem) int { return a.Status - b.Status })
	return list
}

func problemID(p *problem) string { return strings.TrimPrefix(p.Type, "/docs#") }

// describe serves the description, which needs no token.
func describe(mux *http.ServeMux) {
	for path, file := range map[string]struct {
		kind string
		body func() []byte
	}{
		"GET /openapi.yaml": {"application/yaml", func() []byte { return description }},
		"GET /openapi.json": {"application/json", asJSON},
		"GET /docs":         {"text/html; charset=utf-8", asPage},
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", file.kind)
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			_, _ = w.Write(file.body())
		})
	}
}
