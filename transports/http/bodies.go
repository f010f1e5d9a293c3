package http

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	nethttp "net/http"
	"net/url"
	"strings"
)

const (
	// maxBody bounds a body, also after it is decompressed.
	maxBody = 1 << 20
	// maxNesting bounds how deep JSON and XML are nested.
	maxNesting = 64
)

var (
	// ErrTooLarge says that a body is larger than what is read.
	ErrTooLarge = fmt.Errorf("the body has more than %d bytes", maxBody)
	errTooDeep  = fmt.Errorf("the body is nested deeper than %d levels", maxNesting)
)

// readBody reads a body, decompressed where it says that it is compressed.
func readBody(header nethttp.Header, body io.Reader) (string, error) {
	body = io.LimitReader(body, maxBody+1)
	switch encoding := strings.ToLower(header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		compressed, err := io.ReadAll(body)
		if err != nil {
			return "", err
		}
		unzipped, err := gzip.NewReader(bytes.NewReader(compressed))
		if err != nil {
			return "", fmt.Errorf("the body is no gzip: %w", err)
		}
		body = io.LimitReader(unzipped, maxBody+1)
	default:
		return "", fmt.Errorf("the body is compressed by %q; gzip is understood", encoding)
	}
	text, err := io.ReadAll(body)
	if err == nil && len(text) > maxBody {
		err = ErrTooLarge
	}
	return string(text), err
}

// The shapes of bodies.
const (
	shapeForm = "form"
	shapeJSON = "json"
	shapeXML  = "xml"
	shapeText = "text"
)

// shapeOf is the shape that a Content-Type names.
func shapeOf(contentType string) string {
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case strings.HasSuffix(media, "json"):
		return shapeJSON
	case strings.HasSuffix(media, "xml"):
		return shapeXML
	case media == "application/x-www-form-urlencoded":
		return shapeForm
	}
	return shapeText
}

// parse reads a body of a shape into mappings, lists and texts; whole numbers are
// int, others float64.
func parse(shape, text string) (any, error) {
	switch shape {
	case shapeJSON:
		return parseJSON(text)
	case shapeXML:
		return parseXML(text)
	case shapeForm:
		fields, err := url.ParseQuery(strings.TrimSpace(text))
		return flatten(fields), err
	}
	return text, nil
}

// flatten makes a field that is there once a text, and else a list.
func flatten(fields url.Values) map[string]any {
	flat := make(map[string]any, len(fields))
	for name, values := range fields {
		if len(values) == 1 {
			flat[name] = values[0]
			continue
		}
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		flat[name] = list
	}
	return flat
}

func parseJSON(text string) (any, error) {
	if tooDeep(text) {
		return nil, errTooDeep
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("the body is no JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body is no JSON: something follows the first value")
	}
	return plainNumbers(value), nil
}

func tooDeep(text string) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// plainNumbers turns json.Number into int or float64. An integer that is too
// large stays a text: it is an identifier.
func plainNumbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		if !strings.ContainsAny(v.String(), ".eE") {
			return v.String()
		}
		f, _ := v.Float64() // infinite when too large
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plainNumbers(v[key])
		}
	}
	return value
}

// parseXML reads elements as mappings from their children's names, attributes
// as @name, and an element with text alone as the text. Children of one name are
// a list. It knows no entities but XML's own, and takes no DTD.
func parseXML(text string) (any, error) {
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("the body is no XML: %w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, errors.New("the body has a DTD, which is not taken")
		case xml.StartElement:
			value, err := parseElement(decoder, t, 1)
			return map[string]any{t.Name.Local: value}, err
		}
	}
}

func parseElement(decoder *xml.Decoder, start xml.StartElement, depth int) (any, error) {
	if depth > maxNesting {
		return nil, errTooDeep
	}
	members := map[string]any{}
	for _, a := range start.Attr {
		members["@"+a.Name.Local] = a.Value
	}
	var text strings.Builder
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("the body is no XML: %w", err)
		}
		switch t := token.(type) {
		case xml.CharData:
			text.Write(t)
		case xml.StartElement:
			child, err := parseElement(decoder, t, depth+1)
			if err != nil {
				return nil, err
			}
			addChild(members, t.Name.Local, child)
		case xml.EndElement:
			if len(members) == 0 {
				return text.String(), nil
			}
			if words := strings.TrimSpace(text.String()); words != "" {
				members["text"] = words
			}
			return members, nil
		}
	}
}

func addChild(members map[string]any, name string, child any) {
	switch before := members[name].(type) {
	case nil:
		members[name] = child
	case []any:
		members[name] = append(before, child)
	default:
		members[name] = []any{before, child}
	}
}

// foldNames writes the names of a mapping's members in lower case.
func foldNames(value any) any {
	members, is := value.(map[string]any)
	if !is {
		return value
	}
	folded := make(map[string]any, len(members))
	for name, v := range members {
		folded[strings.ToLower(name)] = v
	}
	return folded
}
