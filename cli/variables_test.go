package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("amqp://a:b@c/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ variable, fileVariable, want, err string }{
		{"", file, "amqp://a:b@c/", ""},
		{"amqp://own/", file, "amqp://own/", ""},
		{"", "", "", ""},
		{"", file + "-missing", "", "AMQP_URL_FILE: open "},
	} {
		t.Setenv("AMQP_URL", c.variable)
		t.Setenv("AMQP_URL_FILE", c.fileVariable)
		err := readFileVariables()
		if got := os.Getenv("AMQP_URL"); got != c.want || (c.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v gave %q, %v", c, got, err)
		}
	}
}
