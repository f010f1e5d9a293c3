package cli

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/store"
)

// slips are command lines with a name in them that nothing has, for every argument and
// every flag that takes a name.
var slips = withFailures(map[string][]string{
	"audit [FILE":                {"audit", "nosuch.inbound"},
	"audit --management-url":     {"audit", "--management-url", "nosuch", "FLEET"},
	"audit --since":              {"audit", "--since", "nosuch"},
	"broadcasts cancel ID":       {"broadcasts", "cancel", "nosuch"},
	"broadcasts pause ID":        {"broadcasts", "pause", "nosuch"},
	"broadcasts resume ID":       {"broadcasts", "resume", "nosuch"},
	"broadcasts show ID":         {"broadcasts", "show", "nosuch"},
	"chaos --queue-type":         {"chaos", "--queue-type", "nosuch"},
	"chaos --services":           {"chaos", "--services", "nosuch"},
	"check FILE":                 {"check", "nosuch"},
	"check --worker-class":       {"check", "--worker-class", "nosuch", "FLEET"},
	"clear FILE":                 {"clear", "--yes", "nosuch.inbound"},
	"diff OLD":                   {"diff", "nosuch", "FLEET", "--messages", "-"},
	"diff --messages":            {"diff", "FLEET", "FLEET", "--messages", "nosuch"},
	"graph FILE":                 {"graph", "nosuch"},
	"graph --format":             {"graph", "--format", "nosuch", "FLEET"},
	"graph --theme":              {"graph", "--theme", "nosuch", "FLEET"},
	"health URL":                 {"health", "nosuch"},
	"help [command]":             {"help", "nosuch"},
	"http show PRESET":           {"http", "show", "nosuch"},
	"http try FILE":              {"http", "try", "nosuch", "--to", "+1"},
	"import KANNEL.CONF":         {"import", "nosuch"},
	"inject TRANSPORT.DIRECTION": {"inject", "nosuch.inbound"},
	"inject --transport-name":    {"inject", "--transport-name", "nosuch"},
	"inject --direction":         {"inject", "--transport-name", "sms", "--direction", "nosuch"},
	"inject --queue-type":        {"inject", "--queue-type", "nosuch", "sms.inbound"},
	"check --management-url":     {"check", "--management-url", "nosuch", "FLEET"},
	"move FROM":                  {"move", "nosuch", "survey"},
	"move --application":         {"move", "--application", "nosuch", "sms", "survey"},
	"optouts add --country":      {"optouts", "add", "--country", "nosuch", "+1"},
	"optouts add --list":         {"optouts", "add", "--list", "nosuch", "+1"},
	"optouts add --transport":    {"optouts", "add", "--transport", "nosuch", "+1"},
	"optouts export --country":   {"optouts", "export", "--country", "nosuch"},
	"optouts export --list":      {"optouts", "export", "--list", "nosuch"},
	"optouts import FILE":        {"optouts", "import", "nosuch"},
	"optouts import --country":   {"optouts", "import", "--country", "nosuch", "-"},
	"optouts import --list":      {"optouts", "import", "--list", "nosuch", "-"},
	"optouts import --transport": {"optouts", "import", "--transport", "nosuch", "-"},
	"optouts list --country":     {"optouts", "list", "--country", "nosuch"},
	"optouts list --list":        {"optouts", "list", "--list", "nosuch"},
	"optouts remove ADDRESS":     {"optouts", "remove", "nosuch"},
	"optouts remove --country":   {"optouts", "remove", "--country", "nosuch", "+1"},
	"optouts remove --list":      {"optouts", "remove", "--list", "nosuch", "+1"},
	"optouts remove --transport": {"optouts", "remove", "--transport", "nosuch", "+1"},
	"pause FILE":                 {"pause", "nosuch.inbound"},
	"resend ID":                  {"resend", "nosuch"},
	"resume FILE":                {"resume", "nosuch.inbound"},
	"run --management-url":       {"run", "--amqp-url", "memory:", "--management-url", "nosuch", "FLEET"},
	"worker --management-url":    {"worker", "--worker-class", "simple", "--amqp-url", "memory:", "--management-url", "nosuch", "--config", "JOIN"},
	"trace ID":                   {"trace", "nosuch"},
	"messages --transport":       {"messages", "--transport", "nosuch"},
	"messages --application":     {"messages", "--application", "nosuch"},
	"messages --state":           {"messages", "--state", "nosuch"},
	"messages --direction":       {"messages", "--direction", "nosuch"},
	"messages --since":           {"messages", "--since", "nosuch"},
	"messages --until":           {"messages", "--until", "nosuch"},
	"route FILE":                 {"route", "nosuch"},
	"route --flow":               {"route", "--flow", "nosuch", "FLEET"},
	"route --transport":          {"route", "--transport", "nosuch", "FLEET"},
	"route --application":        {"route", "--application", "nosuch", "FLEET"},
	"route --session":            {"route", "--session", "nosuch", "--transport", "sms", "FLEET"},
	"route --event":              {"route", "--flow", "event", "--event", "nosuch", "--transport", "sms", "FLEET"},
	"route --down":               {"route", "--transport", "sms", "--down", "nosuch", "FLEET"},
	"route --at":                 {"route", "--transport", "sms", "--at", "nosuch", "FLEET"},
	"run FILE":                   {"run", "nosuch"},
	"schedules pause SCHEDULE":   {"schedules", "pause", "nosuch"},
	"schedules resume SCHEDULE":  {"schedules", "resume", "nosuch"},
	"send --transport":           {"send", "--transport", "nosuch", "--to", "+1", "--text", "x"},
	"send --from-file":           {"send", "--transport", "sms", "--from-file", "nosuch", "--text", "x"},
	"send --address-column":      {"send", "--transport", "sms", "--from-file", "LIST", "--address-column", "nosuch", "--text", "x"},
	"send --schedule":            {"send", "--transport", "sms", "--to", "+1", "--text", "x", "--schedule", "nosuch"},
	"send --process":             {"send", "--transport", "sms", "--to", "+1", "--text", "x", "--process", "nosuch"},
	"send --sql":                 {"send", "--transport", "sms", "--sql", "SELECT address FROM nosuch", "--text", "x"},
	"simulate smsc [FILE.yaml]":  {"simulate", "smsc", "nosuch"},
	"status FILE":                {"status", "nosuch"},
	"status --process":           {"status", "--process", "nosuch", "FLEET"},
	"status --management-url":    {"status", "--management-url", "nosuch", "FLEET"},
	"survey export RESULTS":      {"survey", "export", "nosuch"},
	"tail FILE":                  {"tail", "nosuch"},
	"tail --flow":                {"tail", "--flow", "nosuch", "FLEET"},
	"test FILE":                  {"test", "nosuch"},
	"wait FILE":                  {"wait", "nosuch"},
	"wait --process":             {"wait", "--process", "nosuch", "FLEET"},
	"wait --management-url":      {"wait", "--management-url", "nosuch", "FLEET"},
	"worker --worker-class":      {"worker", "--worker-class", "nosuch"},
	"worker --config":            {"worker", "--worker-class", "simple", "--config", "nosuch"},
	"worker --set-option":        {"worker", "--worker-class", "simple", "--set-option", "nosuch"},
	"worker --vumi-config":       {"worker", "--worker-class", "simple", "--vumi-config", "nosuch"},
})

// withFailures adds those of `failures`, whose commands share their filter.
func withFailures(slips map[string][]string) map[string][]string {
	for _, command := range []string{"list", "show", "retry", "drop", "export"} {
		slip := func(name string, args ...string) {
			line := append([]string{"failures", command}, args...)
			if command == "drop" {
				line = append(line, "--yes")
			}
			slips["failures "+command+" "+name] = line
		}
		slip("FILE", "--error", "x", "nosuch.inbound")
		for _, flag := range []string{"--queue", "--reason", "--transport", "--since", "--until"} {
			slip(flag, flag, "nosuch", "FLEET")
		}
		if command == "drop" { // the record has nothing to drop
			slip("--application", "--application", "nosuch", "FLEET")
		} else {
			slip("--application", "--application", "nosuch", "--record")
		}
	}
	slips["failures retry --to"] = []string{"failures", "retry", "--to", "nosuch", "FLEET"}
	return slips
}

// free are the flags that take whatever is written, and those of connections, which are
// refused by those that are asked.
var free = []string{
	"amqp-url", "database-url", "http", "log-level", "listen", "record", "output", "dir", // an address, or a file that is made
	"hostname", "port", "username", "password", "vhost", "specfile", "system-id", "sentry", "maxthreads", "our",
	"text", "name", "from", "to", "to-addr", "content", "type", "provider", "group", "endpoint", "address", "id", "error", "why",
}

// A name with a slip in it is an error of the command line, whatever the command: never an
// empty answer, nor a queue that nobody reads.
func TestSlipsAreErrors(t *testing.T) {
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	dial := func(context.Context, string) (broker.Broker, error) { return b.Connect(), nil }
	d := newDesk(t, dial)
	d.transport, d.app = "sms", "survey"
	d.write("join.yaml", "router_class: simple\ntransport_names: sms\nexposed_names: survey\nroute_mappings: {sms: survey}\n")
	d.declare()
	d.publish("sms.outbound", 1)
	d.deadLetterNow(`{"transport_name": "sms"}`, "invalid", "x")
	s := newSender(t)
	list := s.file("people.csv", "address,name\n+1,Ann\n")
	classes := testClasses()
	for name, line := range slips {
		args := slices.Clone(line)
		for i, arg := range args {
			switch arg {
			case "FLEET":
				args[i] = d.dir
			case "LIST":
				args[i] = list
			case "JOIN":
				args[i] = filepath.Join(d.dir, "join.yaml")
			}
		}
		root := rootOn("test", classes, dial)
		if found, _, err := root.Find(args); err == nil && found.Flags().Lookup("database-url") != nil {
			args = append(args, "--database-url", "sqlite:"+filepath.Join(s.dir, "record.db"))
		}
		root.SetArgs(args)
		root.SetIn(strings.NewReader(""))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		err := root.ExecuteContext(t.Context())
		switch code := exitCode(err); {
		case code == exitMisused && (strings.Contains(err.Error(), "nosuch") || strings.Contains(err.Error(), "management is none")):
		case code == exitFailed && errors.Is(err, store.ErrNotFound): // an identifier was looked for
		default:
			t.Errorf("%s: %q ends with %d: %v", name, line, code, err)
		}
	}
	if _, there, _ := d.look("nosuch.inbound"); there {
		t.Error("a queue was made that nobody reads")
	}
}

// Every argument and flag that takes a name is among the slips.
func TestSlipsCoverEveryCommand(t *testing.T) {
	var walk func(cmd *cobra.Command, path string)
	walk = func(cmd *cobra.Command, path string) {
		for _, child := range cmd.Commands() {
			walk(child, strings.TrimSpace(path+" "+child.Name()))
		}
		if cmd.HasSubCommands() || !cmd.Runnable() || path == "completion" || strings.HasPrefix(path, "completion ") {
			return
		}
		if _, argument, takes := strings.Cut(cmd.Use, " "); takes && !strings.HasPrefix(argument, "-") {
			argument = strings.FieldsFunc(argument, func(r rune) bool { return strings.ContainsRune("| …", r) })[0]
			if what := path + " " + argument; what != "optouts add ADDRESS" {
				covered(t, what)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { coveredFlag(t, path, f) })
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { coveredFlag(t, path, f) })
	}
	walk(rootOn("test", testClasses(), nil), "")
}

func coveredFlag(t *testing.T, path string, f *pflag.Flag) {
	if !f.Hidden && strings.HasPrefix(f.Value.Type(), "string") && !slices.Contains(free, f.Name) {
		covered(t, path+" --"+f.Name)
	}
}

func covered(t *testing.T, what string) {
	if _, is := slips[what]; !is {
		t.Errorf("there is no slip for %q", what)
	}
}
