package graph

import (
	"cmp"
	"math"
	"slices"
)

// sweeps is how often the columns are put in order after each other.
const sweeps = 12

// sortColumns puts each column into the order of what it is joined to, to and
// fro, so that few wires cross.
func (l *layout) sortColumns() {
	for range sweeps {
		for _, column := range l.columns {
			reorder(column, func(b *box) []*box { return b.left })
		}
		for _, column := range slices.Backward(l.columns) {
			reorder(column, func(b *box) []*box { return b.right })
		}
	}
}

func reorder(column []*box, neighbours func(*box) []*box) {
	wanted := map[*box]float64{}
	for _, b := range column {
		wanted[b] = mean(neighbours(b), func(n *box) float64 { return n.order }, b.order)
	}
	slices.SortStableFunc(column, func(a, b *box) int { return cmp.Compare(wanted[a], wanted[b]) })
	for i, b := range column {
		b.order = float64(i)
	}
}

func mean(boxes []*box, of func(*box) float64, otherwise float64) float64 {
	if len(boxes) == 0 {
		return otherwise
	}
	sum := 0.0
	for _, b := range boxes {
		sum += of(b)
	}
	return sum / float64(len(boxes))
}

// stretch makes a box high enough for the wires at its sides.
func (l *layout) stretch() {
	for _, b := range l.nodes {
		b.h = max(nodeHeight, fanStep*float64(max(len(b.left), len(b.right))))
	}
}

// spread gives the boxes their height: near what they are joined to, in their
// order, none on another.
func (l *layout) spread() {
	for _, column := range l.columns {
		for i, b := range column {
			b.y = float64(i) * (nodeHeight + rowGap)
			b.dense = len(column) > denseRows
		}
	}
	for range sweeps {
		for _, column := range l.columns {
			settle(column)
		}
		for _, column := range slices.Backward(l.columns) {
			settle(column)
		}
	}
	top := math.Inf(1)
	for _, column := range l.columns {
		for _, b := range column {
			top = min(top, b.y-b.h/2)
		}
	}
	for _, column := range l.columns {
		for _, b := range column {
			b.y += margin - top
			l.height = max(l.height, b.y+b.h/2+margin)
		}
	}
}

// settle moves a column's boxes towards their neighbours: once pushing down from
// the top, once pushing up from the bottom, and to the middle of both.
func settle(column []*box) {
	wanted := make([]float64, len(column))
	for i, b := range column {
		wanted[i] = mean(slices.Concat(b.left, b.right), func(n *box) float64 { return n.y }, b.y)
		if len(b.left)+len(b.right) == 0 && i > 0 {
			wanted[i] = wanted[i-1] + apart(column[i-1], b) // joined to nothing: just below
		}
	}
	down, up := slices.Clone(wanted), slices.Clone(wanted)
	for i := 1; i < len(column); i++ {
		down[i] = max(down[i], down[i-1]+apart(column[i-1], column[i]))
	}
	for i := len(column) - 2; i >= 0; i-- {
		up[i] = min(up[i], up[i+1]-apart(column[i], column[i+1]))
	}
	for i, b := range column {
		b.y = (down[i] + up[i]) / 2
	}
}

// fanStep is how far the wires at one side of a box are apart, at most.
const fanStep = 11

// fan spreads the wires at a side of a box over its height, in the order of
// where they lead to.
func (l *layout) fan() {
	out, in := map[*box][]*wire{}, map[*box][]*wire{}
	for _, w := range l.wires {
		first, last := w.boxes[0], w.boxes[len(w.boxes)-1]
		out[first], in[last] = append(out[first], w), append(in[last], w)
	}
	for _, w := range l.wires {
		w.labelLast = !w.back() && len(in[w.boxes[len(w.boxes)-1]]) < len(out[w.boxes[0]])
	}
	for b, wires := range out {
		fanSide(b, wires, func(w *wire) float64 { return w.boxes[1].y }, func(w *wire, y float64) { w.outY = y })
	}
	for b, wires := range in {
		fanSide(b, wires, func(w *wire) float64 { return w.boxes[len(w.boxes)-2].y }, func(w *wire, y float64) { w.inY = y })
	}
}

func fanSide(b *box, wires []*wire, other func(*wire) float64, set func(*wire, float64)) {
	slices.SortStableFunc(wires, func(a, b *wire) int { return cmp.Compare(other(a), other(b)) })
	step := min(fanStep, (b.h-14)/float64(len(wires)))
	for i, w := range wires {
		set(w, b.y+(float64(i)-float64(len(wires)-1)/2)*step)
	}
}

func apart(a, b *box) float64 {
	if a.dense {
		return (a.h+b.h)/2 + denseGap
	}
	return (a.h+b.h)/2 + rowGap
}
