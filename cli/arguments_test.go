package cli

import (
	"errors"
	"io"
	"strings"
	"testing"

	"switchboard/fleet"
	"switchboard/operate"
)

// Whatever is mistyped is a misuse, and the answer says how it is written.
func TestMistypedArguments(t *testing.T) {
	for line, want := range map[string]string{
		"rnu x":           `unknown command "switchboard rnu"; did you mean run?`,
		"frobnicate":      "`switchboard --help` lists them",
		"failures lst":    `unknown command "switchboard failures lst"; did you mean list?`,
		"simulate smcs":   "did you mean smsc?",
		"run":             "write switchboard run FILE|DIR…",
		"trace":           "write switchboard trace ID",
		"version x":       "write switchboard version",
		"status":          "name a fleet's files or directories",
		"health here:80":  "write http://here:80",
		"worker":          "--worker-class CLASS",
		"classes --jsn":   "unknown flag: --jsn",
		"check --strict":  "write switchboard check FILE|DIR…",
		"run nowhere":     "stat nowhere: no such file or directory",
		"failures retry":  "switchboard failures retry configs/production",
		"inject sms":      "sms.inbound",
		"diff one":        "write switchboard diff OLD NEW",
		"messages --json": "DATABASE_URL",
	} {
		t.Run(line, func(t *testing.T) {
			t.Setenv("DATABASE_URL", "")
			root := Root("test", fleet.Classes{})
			root.SetArgs(strings.Fields(line))
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			err := root.ExecuteContext(t.Context())
			var said operate.Misuse
			if !errors.As(err, &said) || !strings.Contains(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
