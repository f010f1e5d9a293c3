package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// A file of Vumi's has its class on the command line.
func TestCheckWithAClassOnTheCommandLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "line.yaml")
	if err := os.WriteFile(path, []byte("transport_name: line\ntelnet_port: 9010\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code, _ := invoke(t, "", "check", path); code != exitMisused || !strings.Contains(out, "--worker-class CLASS") {
		t.Errorf("without: %d\n%s", code, out)
	}
	if out, code, err := invoke(t, "", "check", "--worker-class", "telnet", path); code != exitOK {
		t.Errorf("with: %d %v\n%s", code, err, out)
	}
	if _, code, err := invoke(t, "", "check", "--worker-class", "telnett", path); code != exitMisused || !strings.Contains(err.Error(), `did you mean "telnet"?`) {
		t.Errorf("with a slip: %d, %v", code, err)
	}
}

// Vumi's options of the broker become its URL; those without a meaning here say so.
func TestVumisOwnFlags(t *testing.T) {
	config := filepath.Join(t.TempDir(), "vumi.yaml")
	if err := os.WriteFile(config, []byte("hostname: rabbit\nusername: vumi\npassword: se/cret\nvhost: /develop\nspecfile: amqp-spec-0-8.xml\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"amqp://guest:guest@localhost:5672/":           {},
		"amqp://guest:guest@rabbit:5673/":              {"--hostname", "rabbit", "--port=5673"},
		"amqp://vumi:se%2Fcret@rabbit:5672/%2Fdevelop": {"--vumi-config", config, "--system-id", "x", "--worker_class=telnet"},
		"amqp://vumi:other@rabbit:5672/%2F":            {"--vumi_config", config, "--password", "other", "--vhost", "/"},
	} {
		var vumi vumiFlags
		flags := processFlags{amqpURL: "amqp://guest:guest@localhost:5672/"}
		var errs bytes.Buffer
		cmd := &cobra.Command{RunE: func(cmd *cobra.Command, _ []string) error { return vumi.settle(cmd, &flags) }}
		vumi.add(cmd)
		cmd.Flags().String("worker-class", "", "")
		cmd.SetErr(&errs)
		cmd.SetArgs(args)
		if err := cmd.Execute(); err != nil || flags.amqpURL != want {
			t.Errorf("%q: %v, %s, want %s", args, err, flags.amqpURL, want)
		}
		if said := strings.Contains(errs.String(), "--system-id has no effect"); said != strings.Contains(strings.Join(args, " "), "system-id") {
			t.Errorf("%q: said %q", args, errs.String())
		}
	}
}
