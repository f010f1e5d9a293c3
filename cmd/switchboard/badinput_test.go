package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What operators get wrong is named with file, line and what to do.
func TestBadFiles(t *testing.T) {
	const good = "router_class: simple\ntransport_names: [sms]\nexposed_names: [app]\nroute_mappings:\n  sms: app\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"a class of another kind": {
			map[string]string{"x.yaml": "worker_class: http_api\n"},
			[]string{`x.yaml:1: worker_class: class "http_api" is of another kind: write application_class or transport_class`},
		},
		"unknown class": {
			map[string]string{"x.yaml": "router_class: simpel\n"},
			[]string{`x.yaml:1: router_class: unknown class "simpel"; did you mean "simple"?`},
		},
		"unknown key": {
			map[string]string{"x.yaml": strings.Replace(good, "route_mappings", "route_mapings", 1)},
			[]string{`x.yaml:4: unknown key "route_mapings"; did you mean "route_mappings"?`, "route_mappings: is missing"},
		},
		"upper case": {
			map[string]string{"x.yaml": strings.ReplaceAll(good, "sms", "Sms")},
			[]string{`x.yaml:2: transport_names.Sms: connector name "Sms" must be lower case`},
		},
		"a route to nobody": {
			map[string]string{"x.yaml": strings.Replace(good, "sms: app", "sms: ap", 1)},
			[]string{`x.yaml:5: route_mappings.sms: "ap" is none of exposed_names; did you mean "app"?`},
		},
		"two queue types": {
			map[string]string{"x.yaml": good, "y.yaml": "application_class: echo\ntransport_name: app\nqueue_type: quorum\n"},
			[]string{"y.yaml:3: connector app has queue_type quorum here and classic in", "all workers of a fleet must agree"},
		},
		"no class":        {map[string]string{"x.yaml": "transport_names: [sms]\n"}, []string{"x.yaml: one of router_class"}},
		"no YAML":         {map[string]string{"x.yaml": "a: [\n"}, []string{"x.yaml:1: this is no YAML"}},
		"another type":    {map[string]string{"x.yaml": "transport_class: telnet\ntransport_name: a\ntelnet_port: many\n"}, []string{`x.yaml:3: telnet_port must be a whole number, not "many"`}},
		"no variable":     {map[string]string{"x.yaml": "transport_class: telnet\ntransport_name: ${NOBODY_SETS_THIS}\n"}, []string{"x.yaml:2: the environment variable NOBODY_SETS_THIS is not set"}},
		"middleware":      {map[string]string{"x.yaml": good + "middleware:\n  - log: vumi.middleware.LogginMiddleware\n"}, []string{"x.yaml:7: middleware log: unknown class"}},
		"two of one name": {map[string]string{"x.yaml": good + "worker_name: a\n", "y.yaml": "application_class: echo\ntransport_name: app\nworker_name: a\n"}, []string{`y.yaml:3: the worker's name "a" is taken by`}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := classes().Load(dir)
			if err == nil {
				t.Fatal("nothing was found wrong")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
		})
	}
}
