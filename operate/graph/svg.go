package graph

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Theme is how an SVG looks.
type Theme string

// The themes. Auto is light, and dark where its reader's screen is.
const (
	Auto  Theme = "auto"
	Light Theme = "light"
	Dark  Theme = "dark"
)

const (
	lightStyle = `.paper{fill:#ffffff}.name{fill:#1f2328}.class{fill:#59636e}` +
		`.transport rect{fill:#dcefdc;stroke:#4f8a4f}.application rect{fill:#dfe4f7;stroke:#5464a8}` +
		`.dispatcher rect,.worker rect{fill:#e9ebee;stroke:#7d8590}.missing rect{fill:#fdeaea;stroke:#cf222e}` +
		`.missing .name,.missing .class{fill:#a40e26}` +
		`.tn{stroke:#2f7d32}.en{stroke:#3949ab}.loose{stroke:#cf222e}` +
		`.label.tn{fill:#22632a;stroke:#ffffff}.label.en{fill:#303f9f;stroke:#ffffff}.label.loose{fill:#a40e26;stroke:#ffffff}` +
		`.head.tn{fill:#2f7d32}.head.en{fill:#3949ab}.head.loose{fill:#cf222e}`
	darkStyle = `.paper{fill:#0d1117}.name{fill:#e6edf3}.class{fill:#9198a1}` +
		`.transport rect{fill:#14301c;stroke:#57ab5a}.application rect{fill:#1b2447;stroke:#7b8cdb}` +
		`.dispatcher rect,.worker rect{fill:#262c36;stroke:#8b949e}.missing rect{fill:#3c1618;stroke:#f85149}` +
		`.missing .name,.missing .class{fill:#ffa198}` +
		`.tn{stroke:#57ab5a}.en{stroke:#8c9df0}.loose{stroke:#f85149}` +
		`.label.tn{fill:#7ee787;stroke:#0d1117}.label.en{fill:#a5b4fc;stroke:#0d1117}.label.loose{fill:#ffa198;stroke:#0d1117}` +
		`.head.tn{fill:#57ab5a}.head.en{fill:#8c9df0}.head.loose{fill:#f85149}`
	shapeStyle = `text{font-family:ui-sans-serif,system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif;text-anchor:middle}` +
		`.name{font-size:13.5px;font-weight:600}.class{font-size:11.5px}` +
		`.label{font-size:11.5px;stroke-width:4px;paint-order:stroke;stroke-linejoin:round}` +
		`.wire{fill:none;stroke-width:1.7px}.wire.loose{stroke-dasharray:5 4}` +
		`rect.box{stroke-width:1.4px}rect.ghost{stroke-dasharray:5 4}.head{stroke:none}`
)

func (t Theme) style() string {
	switch t {
	case Light:
		return lightStyle + shapeStyle
	case Dark:
		return darkStyle + shapeStyle
	}
	return lightStyle + shapeStyle + "@media (prefers-color-scheme:dark){" + darkStyle + "}"
}

// SVG draws the graph.
func (g Graph) SVG(w io.Writer, theme Theme) error {
	l := place(g)
	d := drawing{}
	d.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]s %[2]s" width="%[1]s" height="%[2]s" role="img">`, num(l.width), num(l.height))
	d.add(`<title>A fleet of %d workers</title><style>%s</style>`, g.workers(), theme.style())
	d.add(`<rect class="paper" width="100%%" height="100%%"/>`)
	for _, wire := range l.wires {
		d.wire(wire)
	}
	for i, n := range g.Nodes {
		d.node(n, l.nodes[i])
	}
	for _, wire := range l.wires {
		d.label(wire) // above all lines
	}
	d.add(`</svg>`)
	_, err := io.WriteString(w, d.String())
	return err
}

func (g Graph) workers() (n int) {
	for _, node := range g.Nodes {
		if node.Kind != Missing {
			n++
		}
	}
	return n
}

type drawing struct{ strings.Builder }

func (d *drawing) add(format string, args ...any) {
	fmt.Fprintf(&d.Builder, format, args...)
	d.WriteByte('\n')
}

// num writes a length without needless digits.
func num(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

// copies is how far the double copies behind a box stand out.
const copies = 3.5

func (d *drawing) node(n Node, b *box) {
	class := n.style()
	d.add(`<g class="%s"><title>%s</title>`, class, html.EscapeString(n.describe()))
	last, shape := 1, "box"
	if n.Kind == Missing {
		last, shape = 0, "box ghost"
	}
	for i := last; i >= 0; i-- {
		off := float64(i) * copies
		d.add(`<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="%s"/>`,
			shape, num(b.x-b.w/2+off), num(b.y-b.h/2+off), num(b.w), num(b.h), num(nodeHeight/2))
	}
	if n.Class == "" {
		d.add(`<text class="name" x="%s" y="%s">%s</text></g>`, num(b.x), num(b.y+4.5), html.EscapeString(n.Name))
		return
	}
	d.add(`<text class="name" x="%[1]s" y="%[2]s">%[4]s</text><text class="class" x="%[1]s" y="%[3]s">%[5]s</text></g>`,
		num(b.x), num(b.y-2.5), num(b.y+13), html.EscapeString(n.Name), html.EscapeString(n.Class))
}

func (n Node) describe() string {
	switch {
	case n.Kind == Missing:
		return fmt.Sprintf("%s %s: no file here serves it", n.Class, n.Name)
	case n.Alone:
		return fmt.Sprintf("%s %s (%s): connected to nothing", n.Kind, n.Name, n.File)
	}
	return fmt.Sprintf("%s %s (%s)", n.Kind, n.Name, n.File)
}

func (e Edge) class() string {
	switch {
	case e.Loose:
		return "loose"
	case e.Exposed:
		return "en"
	}
	return "tn"
}

type point struct{ x, y float64 }

// points are where a wire starts, bends and ends.
func (w *wire) points() []point {
	first, last := w.boxes[0], w.boxes[len(w.boxes)-1]
	if w.back() { // a circle: round below everything
		right, left := first.x+first.w/2, last.x-last.w/2
		return []point{
			{right + 2, w.outY}, {right + detour, w.outY}, {right + detour, w.low}, {left - detour, w.low}, {left - detour, w.inY}, {left - 2, w.inY},
		}
	}
	start := point{first.x + first.w/2 + 2 + inset(w.outY-first.y, first.h), w.outY}
	end := point{last.x - last.w/2 - 2 - inset(w.inY-last.y, last.h), w.inY}
	ps := []point{start}
	if !w.labelLast {
		ps = append(ps, point{first.x + first.w/2 + w.stub, start.y})
	}
	for _, b := range w.boxes[1 : len(w.boxes)-1] {
		ps = append(ps, point{b.x, b.y})
	}
	if w.labelLast {
		ps = append(ps, point{last.x - last.w/2 - w.stub, end.y})
	}
	return append(ps, end)
}

// inset is how far the round corner of a box lies behind its side at a height
// above or below its centre; it is not positive.
func inset(dy, h float64) float64 {
	r := nodeHeight / 2.0
	over := max(0, math.Abs(dy)-(h/2-r))
	return math.Sqrt(max(0, r*r-over*over)) - r
}

// bendRadius is how early a wire begins to turn.
const bendRadius = 20

// headLength is how long an arrow's head is.
const headLength = 8

func (d *drawing) wire(w *wire) {
	ps := w.points()
	class := w.edge.class()
	last := len(ps) - 1
	start, end := toward(ps[0], ps[1], headLength-1), toward(ps[last], ps[last-1], headLength-1)
	var path strings.Builder
	path.WriteString("M" + num(start.x) + " " + num(start.y))
	for i, p := range ps[1:last] {
		in, out := toward(p, ps[i], bendRadius), toward(p, ps[i+2], bendRadius)
		path.WriteString(fmt.Sprintf(" L%s %s Q%s %s %s %s", num(in.x), num(in.y), num(p.x), num(p.y), num(out.x), num(out.y)))
	}
	d.add(`<path class="wire %s" d="%s L%s %s"/>`, class, path.String(), num(end.x), num(end.y))
	d.head(class, ps[0], ps[1])
	d.head(class, ps[last], ps[last-1])
}

// head draws an arrow's head at tip, for a line that comes from from.
func (d *drawing) head(class string, tip, from point) {
	base := toward(tip, from, headLength)
	dx, dy := (base.y-tip.y)*0.42, (tip.x-base.x)*0.42
	notch := toward(tip, from, headLength*0.75)
	d.add(`<path class="head %s" d="M%s %s L%s %s L%s %s L%s %sZ"/>`, class, num(tip.x), num(tip.y),
		num(base.x+dx), num(base.y+dy), num(notch.x), num(notch.y), num(base.x-dx), num(base.y-dy))
}

// toward is the point a distance away from a, on the way to b.
func toward(a, b point, distance float64) point {
	length := math.Hypot(b.x-a.x, b.y-a.y)
	if length == 0 {
		return a
	}
	return point{a.x + (b.x-a.x)*distance/length, a.y + (b.y-a.y)*distance/length}
}

// label writes a wire's connector above its level stretch.
func (d *drawing) label(w *wire) {
	ps := w.points()
	a, b := ps[0], ps[1]
	switch {
	case w.back():
		a, b = ps[3], ps[2]
	case w.labelLast:
		a, b = ps[len(ps)-2], ps[len(ps)-1]
	}
	d.add(`<text class="label %s" x="%s" y="%s">%s</text>`,
		w.edge.class(), num((a.x+b.x)/2), num(a.y-5), html.EscapeString(w.edge.Connector))
}
