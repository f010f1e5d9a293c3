// Package importer translates other products' configurations into the files of a fleet,
// and says what it could not translate.
package importer

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// File is a file of the fleet.
type File struct {
	Name, Text string
}

// Fleet is what a configuration became.
type Fleet struct {
	// Files are the workers' files, and variables.env with the secrets that they name.
	Files []File
	// Notes say what was not translated, with its line and what to do. They hold no secret.
	Notes []string
}

// VariablesFile has the secrets, as NAME='value' lines for a shell.
const VariablesFile = "variables.env"

// group is a group of kannel.conf.
type group struct {
	kind  string
	line  int
	keys  []string // in their order
	value map[string]string
	lines map[string]int
	taken map[string]bool
}

// take returns a key's value, which is then translated.
func (g *group) take(key string) string {
	g.taken[key] = true
	return g.value[key]
}

// maxLine bounds a line of kannel.conf, in bytes.
const maxLine = 1 << 20

// readKannel reads groups, which blank lines end: key = value, in quotes or not.
func readKannel(text []byte) (groups []*group, err error) {
	var g *group
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxLine)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			g = nil
		}
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, is := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !is || key == "" {
			return nil, fmt.Errorf("line %d: %.40q begins no line of kannel.conf; it wants key = value", number, strings.Fields(line)[0])
		}
		if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
			value = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(value[1 : len(value)-1])
		}
		if g == nil {
			g = &group{line: number, value: map[string]string{}, lines: map[string]int{}, taken: map[string]bool{}}
			groups = append(groups, g)
		}
		if key == "group" {
			g.kind = value
			continue
		}
		if _, twice := g.value[key]; !twice {
			g.keys = append(g.keys, key)
		}
		g.value[key], g.lines[key] = value, number
	}
	return groups, lines.Err()
}

// settled are keys whose purpose the fleet fulfils in its own way.
var settled = map[string]string{
	"log": "logs go to standard error, and --log-level sets their level", "access-log": "messages are in the record",
	"store-": "RabbitMQ keeps what waits", "admin-": "use `switchboard status` and /metrics", "status-": "use `switchboard status` and /metrics",
	"smsbox-port": "workers meet on RabbitMQ", "bearerbox-": "workers meet on RabbitMQ", "box-": "workers meet on RabbitMQ", "smsbox-id": "workers meet on RabbitMQ",
	"dlr-storage": "DATABASE_URL names the store", "msg-id-type": "identifiers are compared in every notation",
	"unified-prefix": "use the middleware msisdn", "white-list": "use the router rules", "black-list": "use the router rules",
	"allowed-": "use the router rules", "denied-": "use the router rules", "preferred-": "use the router rules", "reroute": "use the router rules",
	"user-deny-ip": "let a firewall or a proxy do it", "user-allow-ip": "let a firewall or a proxy do it", "connect-": "let a firewall or a proxy do it",
	"ssl-": "let a proxy have the certificate", "alt-charset": "use submit_sm_encoding and data_coding_overrides",
	"max-messages": "long messages are always cut into as many parts as they need", "concatenation": "long messages are always cut into as many parts as they need",
	"include": "import that file too",
}

func advice(key string) string {
	for prefix, text := range settled {
		if strings.HasPrefix(key, prefix) {
			return ": " + text
		}
	}
	return ""
}

// translation is one under way.
type translation struct {
	Fleet
	variables  []string
	named      map[string]bool // the variables' names
	transports []string
	served     bool              // get_url is written
	smscs      []string          // `ID: transport` in YAML
	bySMSC     map[string]string // transports by smsc-id
}

// Kannel translates a kannel.conf: smsc groups of SMPP become transports, smsbox and
// sendsms-user groups the application kannel, and one dispatcher joins them.
func Kannel(text []byte) (Fleet, error) {
	groups, err := readKannel(text)
	if err != nil {
		return Fleet{}, err
	}
	t := &translation{bySMSC: map[string]string{}, named: map[string]bool{}}
	door := yaml{}
	door.set("application_class", "kannel")
	door.set("transport_name", "kannel")
	var users []*group
	box := &group{value: map[string]string{}, taken: map[string]bool{}}
	for _, g := range groups {
		switch g.kind {
		case "smsc":
			t.smsc(g)
		case "smsbox":
			box = g
		case "sendsms-user":
			users = append(users, g)
		case "core":
		case "sms-service":
			t.service(g, &door)
		default:
			t.leave(g, "group %s is not translated", cmp.Or(g.kind, "without a name"))
		}
	}
	if len(t.transports) == 0 || len(users) == 0 {
		return t.Fleet, errors.New("kannel.conf has no smsc of SMPP or no sendsms-user: there is nothing to write a fleet of")
	}
	door.number("web_port", cmp.Or(box.take("sendsms-port"), "13013"))
	door.set("sendsms_url", box.take("sendsms-url"))
	t.users(users, box.take("global-sender"), &door)
	t.note(box.line, "dlr-url and get-url are called at public addresses only; where they lead into your own network, set allow_private: true in kannel.yaml")
	t.unread(groups)
	t.finish(&door)
	return t.Fleet, nil
}

// finish writes the files that are about all the others.
func (t *translation) finish(door *yaml) {
	if len(t.smscs) > 0 {
		door.text.WriteString("smscs: {" + strings.Join(t.smscs, ", ") + "}\n")
	}
	t.add("kannel.yaml", door.text.String())
	join := yaml{}
	join.set("router_class", "simple")
	join.text.WriteString("transport_names: [" + strings.Join(t.transports, ", ") + "]\nexposed_names: [kannel]\nroute_mappings:\n")
	for _, name := range t.transports {
		join.text.WriteString("  " + name + ": kannel\n")
	}
	t.add("dispatcher.yaml", join.text.String())
	t.add(VariablesFile, strings.Join(t.variables, ""))
	slices.SortStableFunc(t.Notes, func(a, b string) int { return noteLine(a) - noteLine(b) })
}

func noteLine(note string) (line int) {
	_, _ = fmt.Sscanf(note, "line %d:", &line)
	return line
}

// unread notes the keys that nothing became of.
func (t *translation) unread(groups []*group) {
	for _, g := range groups {
		for _, key := range g.keys {
			if !g.taken[key] {
				t.note(g.lines[key], "%s of group %s is not translated%s", key, g.kind, advice(key))
			}
		}
	}
}

func (t *translation) add(name, text string) { t.Files = append(t.Files, File{name, text}) }

func (t *translation) note(line int, format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
}

// leave notes that nothing became of a group as a whole.
func (t *translation) leave(g *group, format string, args ...any) {
	for _, key := range g.keys {
		g.taken[key] = true
	}
	t.note(g.line, format, args...)
}

// variable puts a secret aside, and returns how YAML names it.
func (t *translation) variable(name, value string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if name[0] >= '0' && name[0] <= '9' { // a shell takes it for no assignment
		name = "_" + name
	}
	plain := name
	for n := 2; t.named[name]; n++ {
		name = plain + "_" + strconv.Itoa(n)
	}
	t.named[name] = true
	t.variables = append(t.variables, name+"='"+strings.ReplaceAll(value, "'", `'\''`)+"'\n")
	return "${" + name + "}"
}

// smppKeys are keys of an smsc group that an option takes as they are.
var smppKeys = []struct{ key, option string }{
	{"smsc-username", "system_id"},
	{"system-type", "system_type"},
	{"address-range", "address_range"},
	{"service-type", "service_type"},
	{"interface-version", "interface_version"},
}

// smppNumbers are those that are numbers.
var smppNumbers = []struct{ key, option string }{
	{"source-addr-ton", "source_addr_ton"},
	{"source-addr-npi", "source_addr_npi"},
	{"dest-addr-ton", "dest_addr_ton"},
	{"dest-addr-npi", "dest_addr_npi"},
	{"throughput", "mt_tps"},
	{"max-pending-submits", "window"},
	{"enquire-link-interval", "smpp_enquire_link_interval"},
	{"reconnect-delay", "max_reconnect_delay"},
}

// smsc makes a transport of an smsc group.
func (t *translation) smsc(g *group) {
	kind, id := g.take("smsc"), g.take("smsc-id")
	if kind != "smpp" {
		hint := map[string]string{"at": "use the transport gsm_modem", "http": "use the transport http", "fake": "use the transport devnull, or `switchboard simulate smsc`"}[kind]
		t.leave(g, "the smsc %s of type %s is not translated; %s", id, kind, cmp.Or(hint, "there is no transport for it"))
		return
	}
	name := t.transportName(id)
	y := yaml{}
	y.set("transport_class", "smpp")
	y.set("transport_name", name)
	y.set("host", g.take("host"))
	y.number("port", cmp.Or(g.take("port"), g.take("receive-port")))
	y.set("password", t.variable(name+"_password", g.take("smsc-password")))
	for _, k := range smppKeys {
		y.set(k.option, g.take(k.key))
	}
	for _, k := range smppNumbers {
		value := g.take(k.key)
		if k.key == "throughput" {
			value = t.throughput(g, value)
		}
		if _, err := strconv.ParseUint(value, 10, 31); value != "" && err != nil {
			t.note(g.lines[k.key], "%s is no number", k.key)
			continue
		}
		y.number(k.option, value)
	}
	if isTrue(g.take("use-ssl")) {
		y.text.WriteString("tls: true\n")
	}
	if !isTrue(g.take("transceiver-mode")) {
		mode := "transmitter+receiver"
		if g.value["receive-port"] == "" {
			mode = "transmitter"
		} else if g.value["port"] == "" {
			mode = "receiver"
		}
		if port := g.take("receive-port"); mode == "transmitter+receiver" && port != g.value["port"] {
			t.note(g.lines["receive-port"], "the receiver binds to the port of the transmitter, not to receive-port %s; where it must not, use two workers with bind_mode", port)
		}
		y.set("bind_mode", mode)
	}
	t.transports = append(t.transports, name)
	if id != "" && t.bySMSC[id] == "" {
		t.bySMSC[id] = name
		t.smscs = append(t.smscs, quoted(id)+": "+name)
	} else if id != "" {
		t.note(g.line, "another smsc is %s: Kannel shares its messages out, here they leave by %s; use the router load_balancing", id, t.bySMSC[id])
	}
	t.add(name+".yaml", y.text.String())
}

// throughput is a rate in whole messages: 0 would be no limit.
func (t *translation) throughput(g *group, value string) string {
	rate, err := strconv.ParseFloat(value, 64)
	if err != nil || rate <= 0 {
		return value
	}
	if rate != math.Trunc(rate) {
		t.note(g.lines["throughput"], "throughput %s is %d here: mt_tps is a whole number", value, max(1, int(rate)))
	}
	return strconv.Itoa(max(1, int(rate)))
}

// transportName is one that no other transport has.
func (t *translation) transportName(id string) string {
	plain := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(id)), "_")
	name := strings.TrimSuffix("smpp_"+plain, "_")
	for n := 2; slices.Contains(t.transports, name); n++ {
		name = strings.TrimSuffix("smpp_"+plain, "_") + "_" + strconv.Itoa(n)
	}
	return name
}

// users writes who may send.
func (t *translation) users(groups []*group, sender string, door *yaml) {
	door.text.WriteString("users:\n")
	for _, g := range groups {
		name := g.take("username")
		y := yaml{indent: "    "}
		y.set("password", t.variable(name+"_sendsms_password", g.take("password")))
		forced, faked := g.take("forced-smsc"), g.take("faked-sender")
		y.set("from", cmp.Or(faked, g.take("default-sender"), sender))
		if faked != "" {
			t.note(g.lines["faked-sender"], "faked-sender of user %s is the sender only where a request names none", name)
		}
		smsc := cmp.Or(forced, g.take("default-smsc"))
		via := t.bySMSC[smsc]
		if via == "" {
			via = t.transports[0]
			switch {
			case smsc != "":
				t.note(g.line, "user %s sends by the smsc %s, which is not translated; here by %s", name, smsc, via)
			case len(t.transports) > 1:
				t.note(g.line, "user %s sends by %s where a request names no smsc: Kannel chooses any; use the router rules", name, via)
			}
		}
		y.set("send_via", via)
		if forced != "" {
			t.note(g.lines["forced-smsc"], "user %s may name another smsc in a request", name)
		}
		door.text.WriteString("  " + quoted(name) + ":\n" + y.text.String())
	}
}

// service takes the get-url of the default service.
func (t *translation) service(g *group, door *yaml) {
	keyword, url, all := g.take("keyword"), g.take("get-url"), g.take("catch-all")
	if keyword != "default" || url == "" || all == "false" || t.served {
		t.leave(g, "the sms-service %s is not translated; use the application keyword", cmp.Or(keyword, g.value["keyword-regex"]))
		return
	}
	door.set("get_url", url)
	t.served = true
}

func isTrue(value string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(value))
}

// yaml writes a worker's file. Empty values are left out.
type yaml struct {
	indent string
	text   strings.Builder
}

func (y *yaml) set(key, value string) {
	if value != "" {
		y.number(key, quoted(value))
	}
}

func (y *yaml) number(key, value string) {
	if value != "" {
		y.text.WriteString(y.indent + key + ": " + value + "\n")
	}
}

// quoted is a text in YAML.
func quoted(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" && text != "" && !slices.Contains([]string{"yes", "no", "true", "false", "on", "off", "null", "y", "n"}, strings.ToLower(text)) {
		return text
	}
	return strconv.Quote(text)
}
