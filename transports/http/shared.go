package http

import (
	"errors"
	nethttp "net/http"
)

// This file is what another transport needs whose requests are described in YAML.

// Scope is what an expression can read: values by their names.
type Scope = scope

// With is s with further values.
func (s scope) With(more Scope) Scope { return s.with(more) }

// Expressions compiles the expressions of one place in a description.
type Expressions struct{ language *language }

// NewExpressions makes the language over these names and over settings, whose values
// are texts.
func NewExpressions(names []string, settings Scope) Expressions {
	return Expressions{newLanguage(names, settings)}
}

// Value is compiled: a text, an expression, or JSON of them. The zero Value is nil.
type Value struct{ made }

// Value compiles a text, what stands behind a "=" as an expression, or a mapping or
// list of them.
func (e Expressions) Value(source any) (Value, error) {
	m, err := e.language.made(source)
	return Value{m}, err
}

// Pick compiles an expression; the empty one is nil.
func (e Expressions) Pick(source string) (Value, error) {
	p, err := e.language.pick(source)
	return Value{made{pick: p}}, err
}

// Of is the value.
func (v *Value) Of(s Scope) (any, error) { return v.of(s) }

// Text is the value as a text; nil is an empty one.
func (v *Value) Text(s Scope) (string, error) { return v.text(s) }

// Holds says whether the value is neither nil, false nor empty.
func (v *Value) Holds(s Scope) (bool, error) {
	value, err := v.of(s)
	return isTrue(value), err
}

// ReadRequest is what expressions know of a request: method, raw, query, form, fields,
// headers, and body, whose shape (form, json, xml, text) is read as given or as its
// Content-Type says. Bodies are bounded in size and depth; XML has no entities.
func ReadRequest(q *nethttp.Request, shape string) (Scope, error) {
	raw, err := readBody(q.Header, q.Body)
	if tooLarge := (*nethttp.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		err = ErrTooLarge
	}
	if err != nil {
		return nil, err
	}
	form, fields, body, err := readShape(q, shape, raw)
	return scope{
		"method": q.Method, "raw": raw, "query": flatten(q.URL.Query()), "form": form, "fields": fields, "headers": lowered(q.Header), "body": body,
	}, err
}
