package graph

import (
	"math"
	"slices"
)

// Sizes of the drawing, in pixels.
const (
	nodeHeight = 44
	dummyH     = 22 // the room an edge needs that passes a column
	rowGap     = 34
	denseGap   = 12 // in place of rowGap in columns of more than denseRows boxes
	denseRows  = 10
	margin     = 28
	slopeRoom  = 60 // between two columns, beside the labels
	labelPad   = 24 // what a label's level stretch is longer than the label
)

// box is a node with its place, or a bend of an edge that passes a column.
type box struct {
	node   int // of the graph; -1 for a bend
	column int
	order  float64
	x, y   float64 // of its centre
	w, h   float64
	dense  bool // it stands in a long column
	left   []*box
	right  []*box
}

// wire is an edge and the boxes it passes, from its first to its last.
type wire struct {
	edge  Edge
	boxes []*box
	// outY and inY are where it leaves its first box and enters its last.
	outY, inY float64
	// labelLast: the label stands at its last box, where fewer wires meet.
	labelLast bool
	stub      float64 // the length of the level stretch that carries the label
	low       float64 // how far down it goes round, where it closes a circle
}

func (w *wire) back() bool { return w.boxes[0].column >= w.boxes[len(w.boxes)-1].column }

// layout is a drawing: boxes in columns, wires from left to right.
type layout struct {
	columns [][]*box
	nodes   []*box // by the node's number
	wires   []*wire
	width   float64
	height  float64
}

// place lays a graph out in columns: a node stands right of all that lead to it,
// applications stand right of all dispatchers.
func place(g Graph) *layout {
	l := &layout{}
	columns := columnsOf(g)
	for i, n := range g.Nodes {
		l.nodes = append(l.nodes, &box{node: i, column: columns[n.ID], w: n.width(), h: nodeHeight})
	}
	l.columns = make([][]*box, 1+slices.Max(append(values(columns), 0)))
	for i, n := range g.Nodes {
		if n.Kind != Worker {
			l.put(l.nodes[i])
		}
	}
	for _, e := range g.Edges {
		l.wire(e, l.nodes[index(g, e.From)], l.nodes[index(g, e.To)])
	}
	l.sortColumns()
	l.stretch()
	l.spread()
	l.fan()
	l.measure(g)
	return l
}

func values(m map[string]int) []int {
	all := make([]int, 0, len(m))
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

func index(g Graph, id string) int {
	return slices.IndexFunc(g.Nodes, func(n Node) bool { return n.ID == id })
}

func (l *layout) put(b *box) {
	b.order = float64(len(l.columns[b.column]))
	l.columns[b.column] = append(l.columns[b.column], b)
}

// columnsOf gives each node its column by the longest way to it, not counting
// the edges that close a circle.
func columnsOf(g Graph) map[string]int {
	column := map[string]int{}
	forward := withoutCircles(g)
	for range g.Nodes {
		for _, e := range forward {
			column[e.To] = max(column[e.To], column[e.From]+1)
		}
	}
	last := 0
	for _, c := range column {
		last = max(last, c)
	}
	for _, n := range g.Nodes {
		switch {
		case n.Kind == Application && !n.Alone, n.Kind == Missing && column[n.ID] > 0, n.Kind == Application && last > 0:
			column[n.ID] = max(last, 1)
		case n.Kind == Dispatcher:
			column[n.ID] = max(column[n.ID], 1)
		}
	}
	return column
}

// withoutCircles are the edges but those that lead back to where the way came
// from.
func withoutCircles(g Graph) (forward []Edge) {
	const onTheWay, done = 1, 2
	state := map[string]int{}
	var visit func(id string)
	visit = func(id string) {
		state[id] = onTheWay
		for _, e := range g.Edges {
			if e.From != id || state[e.To] == onTheWay {
				continue
			}
			forward = append(forward, e)
			if state[e.To] != done {
				visit(e.To)
			}
		}
		state[id] = done
	}
	for _, n := range g.Nodes {
		if state[n.ID] == 0 {
			visit(n.ID)
		}
	}
	return forward
}

// wire leads an edge from column to column, with a bend in each it passes.
func (l *layout) wire(e Edge, from, to *box) {
	w := &wire{edge: e, boxes: []*box{from}}
	if from.column < to.column {
		for c := from.column + 1; c < to.column; c++ {
			bend := &box{node: -1, column: c, h: dummyH}
			l.put(bend)
			w.boxes = append(w.boxes, bend)
		}
	}
	w.boxes = append(w.boxes, to)
	for i := 1; i < len(w.boxes); i++ {
		a, b := w.boxes[i-1], w.boxes[i]
		if a.column < b.column {
			a.right, b.left = append(a.right, b), append(b.left, a)
		}
	}
	l.wires = append(l.wires, w)
}

// measure gives the boxes their x: between two columns the longest label of the
// wires there has room.
func (l *layout) measure(g Graph) {
	x := float64(margin)
	for c, column := range l.columns {
		width := 0.0
		for _, b := range column {
			width = max(width, b.w)
		}
		for _, b := range column {
			b.x = x + width/2
			if b.node >= 0 {
				b.w = width // all of a column as wide as the widest
			}
		}
		l.width = x + width + margin
		x += width + l.gap(c)
	}
	l.circle()
	l.apart(g)
}

// detour is how far beside a box a wire turns that closes a circle.
const detour = 30

// circle makes room below for the wires that close circles.
func (l *layout) circle() {
	for _, w := range l.wires {
		if w.back() {
			w.low = l.height
			l.height += detour
			l.width = max(l.width, w.boxes[0].x+w.boxes[0].w/2+detour+margin)
		}
	}
}

// steepness is how much wider two columns stand apart for each pixel that a wire
// between them climbs.
const steepness = 0.12

func (l *layout) gap(column int) float64 {
	label, climb := 0.0, 0.0
	for _, w := range l.wires {
		if w.labelColumn() == column {
			label = max(label, labelWidth(w.edge.Connector)+labelPad)
		}
		for i, b := range w.boxes[1:] {
			if from := w.boxes[i]; from.column == column {
				climb = max(climb, math.Abs(b.y-from.y))
			}
		}
	}
	for _, w := range l.wires {
		if w.labelColumn() == column {
			w.stub = label // all bend at one place, and cross no label
		}
	}
	return label + slopeRoom + climb*steepness
}

// labelColumn is the column that the label stands to the right of.
func (w *wire) labelColumn() int {
	if w.labelLast {
		return w.boxes[len(w.boxes)-1].column - 1
	}
	return w.boxes[0].column
}

// apart puts the workers that meet nobody on connectors into a row of their own.
func (l *layout) apart(g Graph) {
	x := float64(margin)
	for i, n := range g.Nodes {
		if n.Kind != Worker {
			continue
		}
		b := l.nodes[i]
		if x > margin && x+b.w+margin > l.width {
			x = margin
			l.height += nodeHeight + rowGap
		}
		b.x, b.y = x+b.w/2, max(l.height, margin)+nodeHeight/2
		x += b.w + rowGap
		l.width = max(l.width, x-rowGap+margin)
	}
	if x > margin {
		l.height = max(l.height, margin) + nodeHeight + margin
	}
}

// Widths of a character, in pixels, of the fonts used.
const (
	nameChar  = 7.8
	classChar = 6.6
	labelChar = 6.7
)

func (n Node) width() float64 {
	return max(120, float64(len([]rune(n.Name)))*nameChar, float64(len([]rune(n.Class)))*classChar) + 36
}

func labelWidth(text string) float64 { return float64(len([]rune(text))) * labelChar }
