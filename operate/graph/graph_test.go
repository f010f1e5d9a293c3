package graph

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"switchboard/applications"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/routers"
	"switchboard/transports"
)

type idle struct{}

func (idle) Run(context.Context, transports.Publisher) error        { return nil }
func (idle) Send(context.Context, *message.Message) (string, error) { return "", nil }

func (idle) Receive(context.Context, *message.Message) ([]*message.Message, error) { return nil, nil }

func load(t *testing.T, files map[string]string) Graph {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	classes := fleet.Classes{
		Routers:      map[string]fleet.Class[dispatcher.Router]{"simple": {New: func() dispatcher.Router { return routers.NewSimple() }}},
		Transports:   map[string]fleet.Class[transports.Transport]{"line": {New: func() transports.Transport { return &idle{} }}},
		Applications: map[string]fleet.Class[applications.Application]{"answer": {New: func() applications.Application { return &idle{} }}},
	}
	defs, err := classes.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range defs {
		d.Path = filepath.Base(d.Path)
	}
	return New(defs)
}

// figure is the fleet of the figure in Vumi's documentation.
var figure = map[string]string{
	"smpp":       "transport_class: line\ntransport_name: smpp_transport\n",
	"xmpp":       "transport_class: line\ntransport_name: xmpp_transport\n",
	"app":        "application_class: answer\ntransport_name: my_application\n",
	"dispatcher": "router_class: simple\ntransport_names: [smpp_transport, xmpp_transport]\nexposed_names: my_application\nroute_mappings: {smpp_transport: my_application, xmpp_transport: my_application}\n",
}

// tangle has a chain of dispatchers, a circle, names nobody serves, an
// application on a transport, and workers joined to nothing.
var tangle = map[string]string{
	"sms":    "transport_class: line\ntransport_name: sms\n",
	"direct": "transport_class: line\ntransport_name: direct\n",
	"alone":  "transport_class: line\ntransport_name: alone\n",
	"one":    "application_class: answer\ntransport_name: one\n",
	"on":     "application_class: answer\ntransport_name: direct\n",
	"lonely": "application_class: answer\ntransport_name: lonely\nworker_name: '<lonely> & \"x\"'\n",
	"first":  "router_class: simple\ntransport_names: [sms, back, missing]\nexposed_names: [one, onward, gone]\nroute_mappings: {sms: onward, back: one, missing: gone}\n",
	"second": "router_class: simple\ntransport_names: [onward]\nexposed_names: [back, other]\nroute_mappings: {onward: back}\n",
}

func TestDOT(t *testing.T) {
	var out bytes.Buffer
	if err := load(t, figure).DOT(&out); err != nil {
		t.Fatal(err)
	}
	want := `digraph fleet {
  rankdir=LR;
  node [shape=box, style="rounded,filled", fontname="sans-serif"];
  edge [dir=both, fontname="sans-serif", fontsize=10];
  n0 [label="app\nanswer", tooltip="app.yaml", color="#4f5f9f", fillcolor="#dadff2"];
  n1 [label="dispatcher\nsimple", tooltip="dispatcher.yaml", color="#808080", fillcolor="#e2e2e2"];
  n2 [label="smpp\nline", tooltip="smpp.yaml", color="#4f8a4f", fillcolor="#d6ead6"];
  n3 [label="xmpp\nline", tooltip="xmpp.yaml", color="#4f8a4f", fillcolor="#d6ead6"];
  n2 -> n1 [label="smpp_transport", color="#4f8a4f", fontcolor="#4f8a4f", style=solid];
  n3 -> n1 [label="xmpp_transport", color="#4f8a4f", fontcolor="#4f8a4f", style=solid];
  n1 -> n0 [label="my_application", color="#4f5f9f", fontcolor="#4f5f9f", style=solid];
}
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

func TestMermaid(t *testing.T) {
	var out bytes.Buffer
	if err := load(t, figure).Mermaid(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"flowchart LR\n",
		`n1(["dispatcher<br/><small>simple</small>"]):::dispatcher`,
		`n2 <-->|"smpp_transport"| n1`,
		`n1 <-->|"my_application"| n0`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing from\n%s", want, out.String())
		}
	}
}

// missingPart is what a red box says is missing.
func missingPart(n Node) string {
	if n.Kind == Missing {
		return n.Class
	}
	return ""
}

// Forty transports at one dispatcher: every label stands level beside its own
// transport, and meets no other label.
func TestLabelsOfManyTransportsStayApart(t *testing.T) {
	files := map[string]string{}
	var names []string
	for i := range 40 {
		name := fmt.Sprintf("smpp_%02d", i)
		names = append(names, name)
		files[name] = "transport_class: line\ntransport_name: " + name + "\n"
	}
	files["join"] = "router_class: simple\ntransport_names: [" + strings.Join(names, ", ") + "]\nexposed_names: [app]\nroute_mappings: {smpp_00: app}\n"
	files["app"] = "application_class: answer\ntransport_name: app\n"
	var out bytes.Buffer
	if err := load(t, files).SVG(&out, Light); err != nil {
		t.Fatal(err)
	}
	labels := regexp.MustCompile(`class="label tn" x="([0-9.]+)" y="([0-9.]+)"`).FindAllStringSubmatch(out.String(), -1)
	if len(labels) != 40 || strings.Contains(out.String(), "rotate(") {
		t.Fatalf("%d labels of 40, all level", len(labels))
	}
	const lineHeight = 14.0
	var rows []float64
	for _, l := range labels {
		y, _ := strconv.ParseFloat(l[2], 64)
		rows = append(rows, y)
	}
	slices.Sort(rows)
	for i := 1; i < len(rows); i++ {
		if rows[i]-rows[i-1] < lineHeight {
			t.Errorf("labels at %g and %g overlap", rows[i-1], rows[i])
		}
	}
}

func TestWhatIsNotConnectedIsRed(t *testing.T) {
	g := load(t, tangle)
	var reds []string
	for _, n := range g.Nodes {
		if n.red() {
			reds = append(reds, strings.TrimSpace(n.Name+" "+missingPart(n)))
		}
	}
	if got := strings.Join(reds, ", "); got != `alone, <lonely> & "x", missing no transport, gone no application, other no application` {
		t.Errorf("red are %s", got)
	}
	loose := 0
	for _, e := range g.Edges {
		if e.Loose {
			loose++
		}
	}
	if loose != 3 {
		t.Errorf("%d loose edges", loose)
	}
}

// The drawing is well-formed, the same each time, and its texts are escaped.
func TestSVG(t *testing.T) {
	for name, files := range map[string]map[string]string{"figure": figure, "tangle": tangle} {
		g := load(t, files)
		for _, theme := range []Theme{Auto, Light, Dark} {
			var one, two bytes.Buffer
			if err := errors.Join(g.SVG(&one, theme), g.SVG(&two, theme)); err != nil {
				t.Fatal(err)
			}
			if one.String() != two.String() {
				t.Errorf("%s: two drawings differ", name)
			}
			texts := svgTexts(t, one.Bytes())
			for _, e := range g.Edges {
				if !strings.Contains(texts, "|"+e.Connector+"|") {
					t.Errorf("%s: no label %s", name, e.Connector)
				}
			}
			if name == "tangle" && !strings.Contains(texts, `|<lonely> & "x"|`) {
				t.Errorf("a name did not come through: %s", texts)
			}
			if strings.Contains(one.String(), "NaN") || strings.Contains(one.String(), "Inf") {
				t.Errorf("%s: a coordinate is no number", name)
			}
			if auto := strings.Contains(one.String(), "prefers-color-scheme"); auto != (theme == Auto) {
				t.Errorf("%s: theme %s follows the screen: %v", name, theme, auto)
			}
		}
	}
}

func svgTexts(t *testing.T, svg []byte) string {
	t.Helper()
	texts := "|"
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if text, is := token.(xml.CharData); is {
			texts += strings.TrimSpace(string(text)) + "|"
		}
	}
}

// No box lies on another, all lie within the paper, and transports stand left
// of dispatchers, these left of applications.
func TestLayout(t *testing.T) {
	for name, files := range map[string]map[string]string{"figure": figure, "tangle": tangle} {
		g := load(t, files)
		l := place(g)
		for i, a := range l.nodes {
			if a.x-a.w/2 < 0 || a.y-a.h/2 < 0 || a.x+a.w/2 > l.width || a.y+a.h/2 > l.height {
				t.Errorf("%s: %s is off the paper", name, g.Nodes[i].Name)
			}
			for j, b := range l.nodes[:i] {
				if math.Abs(a.x-b.x) < (a.w+b.w)/2 && math.Abs(a.y-b.y) < (a.h+b.h)/2 {
					t.Errorf("%s: %s lies on %s", name, g.Nodes[i].Name, g.Nodes[j].Name)
				}
				if g.Nodes[i].Kind == Dispatcher && g.Nodes[j].Kind == Transport && a.x <= b.x ||
					g.Nodes[i].Kind == Application && g.Nodes[j].Kind == Dispatcher && a.x <= b.x {
					t.Errorf("%s: %s is not right of %s", name, g.Nodes[i].Name, g.Nodes[j].Name)
				}
			}
		}
	}
}

func TestNothing(t *testing.T) {
	var out bytes.Buffer
	if err := (Graph{}).SVG(&out, Auto); err != nil {
		t.Fatal(err)
	}
	svgTexts(t, out.Bytes())
}
