package rules

import (
	"fmt"
	"strings"
	"testing"
)

// many are rules of which only the last matches.
func many(n int, condition string) string {
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range n - 1 {
		fmt.Fprintf(&text, "  - {when: '"+condition+"', to: jokes}\n", fmt.Sprintf("word%d", i))
	}
	text.WriteString("  - {to: app}\n")
	return text.String()
}

func BenchmarkRules(b *testing.B) {
	for name, text := range map[string]string{
		"1":               many(1, ""),
		"100/word":        many(100, `inbound and word == "%s"`),
		"100/six_clauses": many(100, `inbound and connector == "smpp" and from startsWith "+27" and to == "12345" and session == "" and word == "%s"`),
		"100/country":     many(100, `inbound and country(from) == "ZA" and word == "%s"`),
		"100/machine":     many(100, `inbound and len(content) > 2 and trim(word) == "%s"`),
		"1/change":        "rules: [{set: {transport_name: app}, to: app}]",
	} {
		b.Run(name, func(b *testing.B) {
			r := mustLoad(b, text)
			a := in("Something else altogether")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Route(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
