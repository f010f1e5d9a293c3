package fleet

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"

	"switchboard/options"
	"switchboard/worker"
)

// layerSpec is one item of a file's middleware list, as Vumi writes it: its
// name, and its class or its class and priorities. A section of that name at
// the file's top level configures it.
type layerSpec struct {
	name            string
	Class           string `yaml:"class"`
	ConsumePriority int    `yaml:"consume_priority"`
	PublishPriority int    `yaml:"publish_priority"`
}

// UnmarshalYAML reads `name: class` or `name: {class: …, consume_priority: …}`.
func (l *layerSpec) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode || len(node.Content) != 2 {
		return options.Linef(node.Line, "write `- name: class`, one name for each middleware")
	}
	l.name = node.Content[0].Value
	value := node.Content[1]
	if value.Kind == yaml.ScalarNode {
		l.Class = value.Value
		return nil
	}
	if value.Kind != yaml.MappingNode {
		return options.Linef(value.Line, "write `- %s: class` or `- %s: {class: …}`", l.name, l.name)
	}
	known := []string{"class", "consume_priority", "publish_priority"}
	for i := 0; i < len(value.Content); i += 2 {
		if key := value.Content[i]; !slices.Contains(known, key.Value) {
			return options.Linef(key.Line, "unknown key %q in middleware %s%s; its options stand under %s: at the top level",
				key.Value, l.name, options.DidYouMean(key.Value, known), l.name)
		}
	}
	type plain layerSpec
	return value.Decode((*plain)(l))
}

type middlewareList struct {
	List []layerSpec `yaml:"middleware"`
}

func (c Classes) middleware(doc *options.Document) ([]worker.Layer, error) {
	var specs middlewareList
	if err := doc.Into(&specs); err != nil {
		return nil, err
	}
	layers := make([]worker.Layer, 0, len(specs.List))
	for i, spec := range specs.List {
		at := doc.Position("middleware", fmt.Sprint(i))
		_, class, err := lookUp(c.Middleware, spec.Class)
		if err != nil {
			return nil, fmt.Errorf("%s: middleware %s: %w", at, spec.name, err)
		}
		m := class.New()
		if err := doc.Section(spec.name, m); err != nil {
			return nil, err
		}
		if v, can := m.(validator); can {
			if err := v.Validate(); err != nil {
				return nil, doc.Locate(err, spec.name)
			}
		}
		layers = append(layers, worker.Layer{
			Name: spec.name, Middleware: m,
			ConsumePriority: spec.ConsumePriority, PublishPriority: spec.PublishPriority,
		})
	}
	return layers, nil
}
