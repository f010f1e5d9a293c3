// Package graph draws a fleet: transports left, dispatchers in the middle,
// applications right, what is not connected in red. It writes SVG by itself, and
// DOT and Mermaid for other programs.
package graph

import (
	"slices"

	"switchboard/fleet"
)

// Kind is what a node stands for.
type Kind string

// The kinds. Missing is a connector that nobody of the files serves.
const (
	Transport   Kind = fleet.KindTransport
	Dispatcher  Kind = fleet.KindDispatcher
	Application Kind = fleet.KindApplication
	Worker      Kind = fleet.KindWorker
	Missing     Kind = "missing"
)

// Node is a worker, or the one that is missing at a connector: its Name is the
// connector's then, and its Class says what is missing.
type Node struct {
	ID    string `json:"id"` // n0, n1, …
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"`
	Class string `json:"class,omitempty"`
	File  string `json:"file,omitempty"`
	// Alone: it is connected to nothing, and should be.
	Alone bool `json:"alone,omitempty"`
}

// Edge joins two nodes by a connector: From is nearer to the people.
type Edge struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Connector string `json:"connector"`
	// Exposed: it is one of a dispatcher's exposed_names.
	Exposed bool `json:"exposed"`
	// Loose: nobody is at one of its ends.
	Loose bool `json:"loose,omitempty"`
}

// Graph is a fleet's workers and the connectors between them.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// New makes the graph of a fleet.
func New(defs []*fleet.Definition) Graph {
	b := builder{ids: map[*fleet.Definition]string{}}
	for _, d := range defs {
		b.ids[d] = b.add(Node{Kind: Kind(d.Kind), Name: d.Name, Class: d.Class, File: d.Path})
	}
	for _, d := range defs {
		b.connect(d, defs)
	}
	b.markAlone()
	return b.graph
}

type builder struct {
	graph Graph
	ids   map[*fleet.Definition]string
}

func (b *builder) add(n Node) string {
	n.ID = "n" + itoa(len(b.graph.Nodes))
	b.graph.Nodes = append(b.graph.Nodes, n)
	return n.ID
}

func (b *builder) join(from, to, connector string, exposed, loose bool) {
	b.graph.Edges = append(b.graph.Edges, Edge{from, to, connector, exposed, loose})
}

// connect draws a dispatcher's edges; on the side of the transports those to
// other dispatchers too, on the other side only those that no dispatcher draws.
func (b *builder) connect(d *fleet.Definition, defs []*fleet.Definition) {
	switch d.Kind {
	case fleet.KindDispatcher:
		for _, name := range d.Names.Transports {
			b.left(d, name, defs)
		}
		for _, name := range d.Names.Exposed {
			b.right(d, name, defs)
		}
	case fleet.KindTransport:
		for _, other := range defs {
			if other.Kind == fleet.KindApplication && other.Connector == d.Connector {
				b.join(b.ids[d], b.ids[other], d.Connector, false, false)
			}
		}
	}
}

func (b *builder) left(d *fleet.Definition, name string, defs []*fleet.Definition) {
	found := false
	for _, other := range defs {
		switch {
		case other.Kind == fleet.KindTransport && other.Connector == name:
			b.join(b.ids[other], b.ids[d], name, false, false)
			found = true
		case other.Kind == fleet.KindDispatcher && slices.Contains(other.Names.Exposed, name):
			found = true // drawn from there
		}
	}
	if !found {
		b.join(b.add(Node{Kind: Missing, Name: name, Class: "no transport"}), b.ids[d], name, false, true)
	}
}

func (b *builder) right(d *fleet.Definition, name string, defs []*fleet.Definition) {
	found := false
	for _, other := range defs {
		if other.Kind == fleet.KindApplication && other.Connector == name ||
			other.Kind == fleet.KindDispatcher && slices.Contains(other.Names.Transports, name) {
			b.join(b.ids[d], b.ids[other], name, true, false)
			found = true
		}
	}
	if !found {
		b.join(b.ids[d], b.add(Node{Kind: Missing, Name: name, Class: "no application"}), name, true, true)
	}
}

func (b *builder) markAlone() {
	for i := range b.graph.Nodes {
		n := &b.graph.Nodes[i]
		if n.Kind == Worker || n.Kind == Missing {
			continue
		}
		n.Alone = !slices.ContainsFunc(b.graph.Edges, func(e Edge) bool { return e.From == n.ID || e.To == n.ID })
	}
}

// red says that something is missing here.
func (n Node) red() bool { return n.Alone || n.Kind == Missing }
