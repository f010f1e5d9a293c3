package fleet

import (
	"fmt"

	"switchboard/options"
	"switchboard/worker"
)

// layerSpec is the class of a middleware, or its class and priorities. A section
// of its name at the file's top level configures it.
type layerSpec struct {
	Class           string `yaml:"class"`
	ConsumePriority int    `yaml:"consume_priority"`
	PublishPriority int    `yaml:"publish_priority"`
}

// UnmarshalText reads the short form, `- name: class`.
func (l *layerSpec) UnmarshalText(text []byte) error {
	l.Class = string(text)
	return nil
}

// UnknownKeyHint says where the middleware's own options stand.
func (*layerSpec) UnknownKeyHint(name string) string {
	return fmt.Sprintf("; its options stand under %s: at the top level", name)
}

// middlewareList is as Vumi writes it: `- name: class`, one name an item.
type middlewareList struct {
	List []options.Map[layerSpec] `yaml:"middleware"`
}

func (c Classes) middleware(doc *options.Document) ([]worker.Layer, error) {
	var specs middlewareList
	if err := doc.Into(&specs); err != nil {
		return nil, err
	}
	layers := make([]worker.Layer, 0, len(specs.List))
	for i, item := range specs.List {
		at := doc.Position("middleware", fmt.Sprint(i))
		if len(item) != 1 {
			return nil, fmt.Errorf("%s: write `- name: class`, one name for each middleware", at)
		}
		name, spec := item[0].Key, item[0].Value
		_, class, err := lookUp(c.Middleware, spec.Class)
		if err != nil {
			return nil, fmt.Errorf("%s: middleware %s: %w", at, name, err)
		}
		m := class.New()
		if err := doc.Section(name, m); err != nil {
			return nil, err
		}
		if v, can := m.(validator); can {
			if err := v.Validate(); err != nil {
				return nil, doc.Locate(err, name)
			}
		}
		layers = append(layers, worker.Layer{
			Name: name, Middleware: m,
			ConsumePriority: spec.ConsumePriority, PublishPriority: spec.PublishPriority,
		})
	}
	return layers, nil
}
