package options

import (
	"fmt"
	"regexp"
	"strings"
)

// typeError is how the YAML library tells that a value is of another type.
var typeError = regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: `(.*)`)? into (\\S+)$")

// plainly says a type error of the YAML library in words of the file, where
// the library speaks of Go's types.
func plainly(text string) string {
	m := typeError.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	is := found(m[1], m[2])
	if want := wanted(m[3]); want != "" {
		return fmt.Sprintf("here must be %s, not %s", want, is)
	}
	return "here cannot be " + is
}

// found names what is in the file by its YAML tag and, where it is short, its text.
func found(tag, value string) string {
	switch tag {
	case "seq":
		return "a list"
	case "map":
		return "a mapping"
	}
	return fmt.Sprintf("%q", value)
}

// wanted names a Go type, "" where there is no plain word for it.
func wanted(goType string) string {
	switch goType = strings.TrimLeft(goType, "*"); {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["):
		return "a mapping"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "a text"
	}
	return ""
}
