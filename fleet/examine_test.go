package fleet_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/fleet"
)

// examined are the files of a fleet (name, text, …; a name may have a folder)
// and what is found in them, with paths relative to their directory.
func examined(t *testing.T, files ...string) []string {
	t.Helper()
	dir := t.TempDir()
	dirs := map[string]bool{}
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(files[i+1]), 0o600))
		dirs[filepath.Dir(path)] = true
	}
	var paths []string
	for path := range dirs {
		paths = append(paths, path)
	}
	_, findings, err := classes(new(atomic.Int32)).Examine(paths...)
	must(t, err)
	found := make([]string, len(findings))
	for i, f := range findings {
		found[i] = strings.ReplaceAll(f.String(), dir+"/", "")
	}
	return found
}

const (
	transport = "transport_class: line\ntransport_name: sms\n"
	app       = "application_class: quiet\ntransport_name: one\n"
)

func TestExamine(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  []string
	}{
		"nothing wrong": {[]string{"sms.yaml", transport, "join.yaml", route("one"), "one.yaml", app}, nil},
		"nobody at either end": {
			[]string{"join.yaml", route("one")},
			[]string{
				"join.yaml:2: warning: no transport here serves sms; add one with transport_name: sms, or leave it so if it runs elsewhere",
				"join.yaml:3: warning: no application here serves one; add one with transport_name: one, or leave it so if it runs elsewhere",
			},
		},
		"nobody between": {
			[]string{"sms.yaml", transport, "one.yaml", app},
			[]string{
				"one.yaml:2: warning: no dispatcher here exposes one; add it to one's exposed_names, or leave it so if that runs elsewhere",
				"sms.yaml:2: warning: nobody here takes what comes from sms; add it to a dispatcher's transport_names, or leave it so if that runs elsewhere",
			},
		},
		"an application on a transport's own name": {
			[]string{"sms.yaml", transport, "one.yaml", "application_class: quiet\ntransport_name: sms\n"}, nil,
		},
		"a transport without a route": {
			[]string{
				"sms.yaml", transport, "one.yaml", app, "xmpp.yaml", "transport_class: line\ntransport_name: xmpp\n",
				"join.yaml", "router_class: simple\ntransport_names: [sms, xmpp]\nexposed_names: one\nroute_mappings:\n  sms: one\n",
			},
			[]string{"join.yaml:4: warning: route_mappings: has no xmpp; what comes from there is dead-lettered"},
		},
		"all errors at once, and nothing that may follow from them": {
			[]string{"a.yaml", "router_clas: simple\n", "sms.yaml", transport, "join.yaml", route("one") + "nonsense: 1\n", "one.yaml", app},
			[]string{
				"a.yaml: one of router_class, transport_class, application_class, worker_class must say what this worker is; or name its class on the command line: --worker-class CLASS",
				`join.yaml:5: unknown key "nonsense"`,
			},
		},
		"a pattern that does not compile": {
			[]string{
				"sms.yaml", transport, "one.yaml", app,
				"join.yaml", "router_class: to_addr\ntransport_names: sms\nexposed_names: one\ntoaddr_mappings:\n  one: '(12'\n",
			},
			[]string{
				"join.yaml:5: toaddr_mappings.one: \"(12\" is no regular expression of this kind (RE2, without look-around and back-references): error parsing regexp: missing closing ): `\\A(?:(12)`",
			},
		},
		"a circle": {
			[]string{
				"sms.yaml", transport, "one.yaml", app,
				"a.yaml", "router_class: simple\ntransport_names: [sms, back]\nexposed_names: [one, on]\nroute_mappings: {sms: on, back: one}\n",
				"b.yaml", "router_class: simple\ntransport_names: [on]\nexposed_names: [back]\nroute_mappings: {on: back}\n",
			},
			[]string{"a.yaml:3: messages can run in a circle: dispatcher a → on → dispatcher b → back → dispatcher a; take one of the names away"},
		},
		"two dispatchers on one transport": {
			[]string{"sms.yaml", transport, "one.yaml", app, "a.yaml", route("one"), "b.yaml", route("one") + "max_hops: 3\n"},
			[]string{
				"b.yaml:2: dispatcher a (a.yaml) takes from sms too; each message would go by the routes of whichever comes first: take the name away from one, or make both files the same",
				"b.yaml:3: dispatcher a (a.yaml) takes from one too; each message would go by the routes of whichever comes first: take the name away from one, or make both files the same",
			},
		},
		"replicas": {[]string{"sms.yaml", transport, "one.yaml", app, "a.yaml", route("one"), "b.yaml", route("one")}, nil},
		"two fleets on one connector": {
			[]string{"x/sms.yaml", transport, "x/one.yaml", "application_class: quiet\ntransport_name: sms\n", "y/two.yaml", "application_class: quiet\ntransport_name: sms\nworker_name: other\n"},
			[]string{"y/two.yaml:2: connector sms is used by one in another fleet too (x/one.yaml); on one broker the two would take each other's messages: rename one"},
		},
		"two workers on one port": {
			[]string{
				"sms.yaml", transport + "port: 9010\n", "one.yaml", app, "join.yaml", route("one"),
				"tel.yaml", "transport_class: line\ntransport_name: one\nport: 9010\n",
			},
			[]string{"tel.yaml: warning: tel listens on port 9010 as sms (sms.yaml) does; on one machine only one of them can: change one"},
		},
		"two workers with one account": {
			[]string{
				"sms.yaml", transport + "login: bot@example.org\n", "one.yaml", app, "join.yaml", route("one"),
				"tel.yaml", "transport_class: line\ntransport_name: one\nlogin: bot@example.org\n",
			},
			[]string{"tel.yaml: warning: tel logs in as bot@example.org, as sms (sms.yaml) does; what people send reaches one of the two: give each an account of its own"},
		},
		"queue types": {
			[]string{"sms.yaml", transport, "one.yaml", app + "queue_type: quorum\n", "join.yaml", route("one")},
			[]string{"one.yaml:3: connector one has queue_type quorum here and classic in join.yaml; all workers of a fleet must agree"},
		},
		"an unknown key of a middleware": {
			[]string{"sms.yaml", transport, "one.yaml", app, "join.yaml", route("one") + "middleware:\n  - log: {class: nothing, consume_prio: 3}\n"},
			[]string{
				`join.yaml:6: unknown key "consume_prio" in middleware.0.log; did you mean "consume_priority"?; its options stand under log: at the top level`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := examined(t, c.files...)
			if got, want := strings.Join(found, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("found\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestExamineNothing(t *testing.T) {
	if _, _, err := (fleet.Classes{}).Examine(t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is no .yaml file") {
		t.Errorf("got %v", err)
	}
}
