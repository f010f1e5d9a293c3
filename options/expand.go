package options

import (
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

var variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// expand replaces ${NAME} and ${NAME:-default} in every value; $${ is a plain ${.
// It works on the parsed tree, so that no variable can add structure.
func (d *Document) expand(node *yaml.Node, env func(string) (string, bool)) error {
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 {
			continue // keys are names, not values
		}
		if err := d.expand(child, env); err != nil {
			return err
		}
	}
	if node.Kind != yaml.ScalarNode || !strings.Contains(node.Value, "${") {
		return nil
	}
	var missing string
	text := variable.ReplaceAllStringFunc(node.Value, func(found string) string {
		if strings.HasPrefix(found, "$$") {
			return found[1:]
		}
		part := variable.FindStringSubmatch(found)
		if value, set := env(part[1]); set {
			return value
		}
		if part[2] == "" {
			missing = part[1]
		}
		return part[3]
	})
	if missing != "" && d.inspected {
		d.unresolved[node] = true
		return nil
	}
	if missing != "" {
		return d.errorAt(node, "the environment variable %s is not set; set it, or write ${%s:-default}", missing, missing)
	}
	node.Value = text
	d.expanded[node] = true
	if node.Style == 0 {
		node.Tag = "" // ${PORT} becomes a number where it looks like one
	}
	return nil
}
