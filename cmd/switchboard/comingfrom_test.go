package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
)

const comingFrom = "../../docs/coming-from.md"

// block is what a page shows indented.
var block = regexp.MustCompile(`(?m)(?:^    .*\n)+`)

var (
	webPort      = regexp.MustCompile(`web_port: (\d+)`)
	exposedName  = regexp.MustCompile(`(?m)^transport_name: (\S+)`)
	doorSecrets  = []string{"TESTER_PASSWORD=foobar", "FOO_PASSWORD=bar", "TWILIO_TOKEN=secret", "JUNEBUG_PASSWORD=secret", "RAPIDPRO_AUTHORIZATION=Token abc", "RELAY_PASSWORD=x", "RAPIDSMS_PASSWORD=x"}
	doorPatience = 30 * time.Second
)

// All that docs/coming-from.md shows is one fleet, and its commands are run: each is
// answered 200 to 202.
func TestComingFrom(t *testing.T) {
	text, err := os.ReadFile(comingFrom)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var names, commands, ports []string
	for i, shown := range block.FindAllString(string(text), -1) {
		shown = strings.ReplaceAll(strings.TrimPrefix(shown, "    "), "\n    ", "\n")
		switch {
		case strings.HasPrefix(shown, "curl "):
			commands = append(commands, strings.TrimSpace(shown))
		case strings.HasPrefix(shown, "application_class:"):
			if port := webPort.FindStringSubmatch(shown); port != nil {
				free := freePort(t)
				shown = strings.Replace(shown, port[0], "web_port: "+free+"\nweb_host: 127.0.0.1", 1)
				ports = append(ports, ":"+port[1]+"/", ":"+free+"/")
			}
			names = append(names, exposedName.FindStringSubmatch(shown)[1])
			put(t, filepath.Join(dir, names[len(names)-1]+".yaml"), shown)
		case strings.HasPrefix(shown, "switchboard import"):
			importKannel(t, shown)
		default:
			t.Errorf("block %d is neither an application nor a command:\n%s", i+1, shown)
		}
	}
	put(t, filepath.Join(dir, "smpp_out.yaml"), "transport_class: devnull\ntransport_name: smpp_out\n")
	list := "[" + strings.Join(names, ", ") + "]"
	put(t, filepath.Join(dir, "dispatcher.yaml"), "router_class: simple\ntransport_names: [smpp_out]\nexposed_names: "+list+"\nroute_mappings: {smpp_out: "+list+"}\n")

	ctx, stop := context.WithCancel(t.Context())
	fleet := exec.CommandContext(ctx, os.Args[0], "run", dir, "--http", "127.0.0.1:0")
	fleet.Env = append(append(os.Environ(), asProgram+"=1", "AMQP_URL=memory:", "DATABASE_URL=memory:"), doorSecrets...)
	fleet.Cancel = func() error { return fleet.Process.Signal(os.Interrupt) }
	var log strings.Builder
	fleet.Stdout, fleet.Stderr = &log, &log
	if err := fleet.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = fleet.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	moved := strings.NewReplacer(ports...)
	for _, command := range commands {
		var said string
		testutil.EventuallyWithin(t, doorPatience, command, func() bool {
			curl := exec.CommandContext(t.Context(), "bash", "-c", moved.Replace(command)+" -sS -w '\n%{http_code}'")
			out, err := curl.CombinedOutput()
			said = string(out)
			return err == nil // the port is open
		})
		if !regexp.MustCompile(`\n20[012]$`).MatchString(said) {
			t.Errorf("%s was answered %s", command, said)
		}
	}
	if len(commands) < 6 || len(names) < 8 {
		t.Errorf("the page shows %d commands and %d applications", len(commands), len(names))
	}
}

// importKannel runs what the page shows in a directory with a kannel.conf.
func importKannel(t *testing.T, commands string) {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../../operate/importer/testdata/kannel.conf")
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "kannel.conf"), string(text))
	shell := exec.CommandContext(t.Context(), "bash", "-ec", "switchboard() { "+asProgram+"=1 '"+os.Args[0]+"' \"$@\"; }\n"+commands)
	shell.Dir = dir
	out, err := shell.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kannel.conf: line 36: the smsc modem") || !strings.Contains(string(out), "4 workers, 0 warnings, nothing wrong") {
		t.Errorf("%s\nsays %s, %v", commands, out, err)
	}
	again := program(t, nil, "import", filepath.Join(dir, "kannel.conf"), "--output", filepath.Join(dir, "fleet"))
	if !strings.Contains(again, "is there already") {
		t.Errorf("a fleet is overwritten: %s", again)
	}
}
