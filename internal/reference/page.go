package reference

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Page is one page of the reference.
type Page struct {
	Title   string
	Intro   string
	Structs []Struct
}

// Generated begins every page.
const Generated = "<!-- Written by `make generate` from the source: edit the comments of the fields there. -->\n\n"

// Markdown writes the page.
func (p Page) Markdown(sources *Sources) (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "%s# %s\n\n%s\n", Generated, p.Title, p.Intro)
	for i, s := range p.Structs {
		groups, err := s.Groups(sources)
		if err != nil {
			return "", err
		}
		s.head(&out)
		like := slices.IndexFunc(p.Structs[:i], func(earlier Struct) bool {
			return reflect.TypeOf(earlier.Value) == reflect.TypeOf(s.Value)
		})
		if like >= 0 {
			s.alike(&out, p.Structs[like])
			continue
		}
		s.tables(&out, groups)
	}
	return out.String(), nil
}

func (s Struct) tables(out *strings.Builder, groups []Group) {
	if len(groups) == 0 {
		out.WriteString("\nIt has no keys of its own.\n")
		return
	}
	goName := reflect.TypeOf(s.Value).Elem().Name() + " "
	for _, group := range groups {
		if about, first := strings.CutPrefix(group.Doc, goName); first {
			group.Doc = "`" + s.Name + "` " + about
		}
		if s.About == "" { // the page's introduction says it
			group.Doc = ""
		}
		group.table(out)
	}
}

func (s Struct) head(out *strings.Builder) {
	fmt.Fprintf(out, "\n## %s\n", s.Name)
	if s.About != "" {
		fmt.Fprintf(out, "\n%s.\n", upperFirst(s.About))
	}
	if len(s.Vumi) > 0 {
		fmt.Fprintf(out, "\nVumi's name: `%s`\n", strings.Join(s.Vumi, "`, `"))
	}
}

// alike is said of a class whose struct is another's, with other defaults.
func (s Struct) alike(out *strings.Builder, other Struct) {
	fmt.Fprintf(out, "\nIts keys are those of [%s](#%s).", other.Name, other.Name)
	for _, row := range differences(reflect.ValueOf(other.Value).Elem(), reflect.ValueOf(s.Value).Elem()) {
		fmt.Fprintf(out, " The default of `%s` is `%s`.", row.Key, row.Default)
	}
	out.WriteString("\n")
}

func (g Group) table(out *strings.Builder) {
	if g.Doc != "" {
		fmt.Fprintf(out, "\n%s\n", g.Doc)
	}
	out.WriteString("\n| key | what to write | default | what it is |\n|---|---|---|---|\n")
	for _, row := range g.Rows {
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", row.Key, row.Type, row.defaultCell(), cell(row.Doc))
	}
}

func (r Row) defaultCell() string {
	switch {
	case r.Required:
		return "*required*"
	case r.Default == "":
		return ""
	}
	return "`" + cell(r.Default) + "`"
}

// cell keeps a text within its column.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func upperFirst(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
