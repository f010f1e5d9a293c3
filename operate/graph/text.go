package graph

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// The colours of the light theme, of DOT and Mermaid.
const (
	green, greenFill = "#4f8a4f", "#d6ead6"
	blue, blueFill   = "#4f5f9f", "#dadff2"
	grey, greyFill   = "#808080", "#e2e2e2"
	red, redFill     = "#c62f2f", "#fbe3e3"
)

func (n Node) colours() (line, fill string) {
	switch {
	case n.red():
		return red, redFill
	case n.Kind == Transport:
		return green, greenFill
	case n.Kind == Application:
		return blue, blueFill
	}
	return grey, greyFill
}

func (e Edge) colour() string {
	switch {
	case e.Loose:
		return red
	case e.Exposed:
		return blue
	}
	return green
}

// DOT writes the graph for Graphviz.
func (g Graph) DOT(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph fleet {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n" +
		"  edge [dir=both, fontname=\"sans-serif\", fontsize=10];\n")
	for _, n := range g.Nodes {
		line, fill := n.colours()
		label := n.Name
		if n.Class != "" {
			label += "\n" + n.Class
		}
		fmt.Fprintf(&b, "  %s [label=%s, tooltip=%s, color=%q, fillcolor=%q];\n", n.ID, quoteDOT(label), quoteDOT(n.File), line, fill)
	}
	for _, e := range g.Edges {
		style := "solid"
		if e.Loose {
			style = "dashed"
		}
		fmt.Fprintf(&b, "  %s -> %s [label=%s, color=%q, fontcolor=%q, style=%s];\n", e.From, e.To, quoteDOT(e.Connector), e.colour(), e.colour(), style)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func quoteDOT(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// Mermaid writes the graph as GitHub and many wikis draw it.
func (g Graph) Mermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range g.Nodes {
		label := quoteMermaid(n.Name)
		if n.Class != "" {
			label += "<br/><small>" + quoteMermaid(n.Class) + "</small>"
		}
		fmt.Fprintf(&b, "  %s([\"%s\"]):::%s\n", n.ID, label, n.style())
	}
	for i, e := range g.Edges {
		arrow := "<-->"
		if e.Loose {
			arrow = "<-.->"
		}
		fmt.Fprintf(&b, "  %s %s|\"%s\"| %s\n  linkStyle %d stroke:%s\n", e.From, arrow, quoteMermaid(e.Connector), e.To, i, e.colour())
	}
	for _, c := range [...]struct{ name, line, fill string }{
		{"transport", green, greenFill},
		{"application", blue, blueFill},
		{"dispatcher", grey, greyFill},
		{"worker", grey, greyFill},
		{"missing", red, redFill},
	} {
		fmt.Fprintf(&b, "  classDef %s stroke:%s,fill:%s,color:#222\n", c.name, c.line, c.fill)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (n Node) style() string {
	if n.red() {
		return string(Missing)
	}
	return string(n.Kind)
}

func quoteMermaid(text string) string {
	return strings.NewReplacer("&", "#amp;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "#", "#35;").Replace(text)
}
