package importer

import (
	"os"
	"strings"
	"testing"
)

func translated(t *testing.T, text string) (Fleet, map[string]string) {
	t.Helper()
	fleet, err := Kannel([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range fleet.Files {
		files[file.Name] = file.Text
	}
	return fleet, files
}

// cmd/switchboard's TestComingFrom loads the same fleet.
func TestKannel(t *testing.T) {
	text, err := os.ReadFile("testdata/kannel.conf")
	if err != nil {
		t.Fatal(err)
	}
	fleet, files := translated(t, string(text))
	for name, want := range map[string][]string{
		"smpp_vodacom_za.yaml": {
			"transport_class: smpp\n", "host: \"smpp.example.org\"\n", "port: 2775\n", "system_id: acme\n", "password: \"${SMPP_VODACOM_ZA_PASSWORD}\"\n",
			"source_addr_ton: 5\n", "mt_tps: 20\n", "window: 10\n", "smpp_enquire_link_interval: 30\n", "interface_version: \"34\"\n",
		},
		"smpp_mtn.yaml": {"bind_mode: \"transmitter+receiver\"\n", "tls: true\n"},
		"kannel.yaml": {
			"web_port: 13014\n", "sendsms_url: \"/sendsms\"\n", "  tester:\n    password: \"${TESTER_SENDSMS_PASSWORD}\"\n    from: \"13013\"\n    send_via: smpp_vodacom_za\n",
			"  shop:\n    password: \"${SHOP_SENDSMS_PASSWORD}\"\n    from: Shop\n    send_via: smpp_mtn\n", `smscs: {"Vodacom-ZA": smpp_vodacom_za, MTN: smpp_mtn}`,
			`get_url: "https://example.org/sms?sender=%p&text=%a"`,
		},
		"dispatcher.yaml": {"route_mappings:\n  smpp_vodacom_za: kannel\n  smpp_mtn: kannel\n"},
		VariablesFile:     {`SMPP_VODACOM_ZA_PASSWORD='it'\''s secret'` + "\n", `SHOP_SENDSMS_PASSWORD='shop'\''s'` + "\n"},
	} {
		for _, line := range want {
			if !strings.Contains(files[name], line) {
				t.Errorf("%s lacks %s:\n%s", name, line, files[name])
			}
		}
	}
	if strings.Contains(files["smpp_vodacom_za.yaml"], "bind_mode") {
		t.Error("a transceiver is no transceiver")
	}
	notes := strings.Join(fleet.Notes, "\n")
	for _, want := range []string{
		"line 4: admin-password of group core", "line 7: unified-prefix of group core is not translated: use the middleware msisdn",
		"line 31: the receiver binds to the port of the transmitter, not to receive-port 3001", "line 36: the smsc modem of type at is not translated; use the transport gsm_modem",
		"line 41: dlr-url and get-url are called at public addresses only", "line 47: user tester sends by smpp_vodacom_za where a request names no smsc",
		"line 50: user-allow-ip of group sendsms-user", "line 62: the sms-service nop is not translated", "line 66: group wapbox is not translated",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
	for name, text := range files {
		if secret := "secret"; name != VariablesFile && strings.Contains(text, secret) || strings.Contains(notes, secret) {
			t.Errorf("%s or the notes show a secret", name)
		}
	}
}

func TestKannelOddities(t *testing.T) {
	const users = "group = sendsms-user\nusername = \"a: b\"\npassword = x\nforced-smsc = GONE\n"
	smsc := func(lines string) string {
		return "group = smsc\nsmsc = smpp\nsmsc-id = A\nhost = h\nsmsc-username = u\n" + lines + "\n\n"
	}
	fleet, files := translated(t, smsc("port = 1")+smsc("receive-port = 2\nthroughput = fast")+users)
	if !strings.Contains(files["smpp_a.yaml"], "bind_mode: transmitter\n") || !strings.Contains(files["smpp_a_2.yaml"], "port: 2\n") ||
		!strings.Contains(files["smpp_a_2.yaml"], "bind_mode: receiver\n") || !strings.Contains(files["kannel.yaml"], "  \"a: b\":\n") {
		t.Errorf("the files are %q", files)
	}
	notes := strings.Join(fleet.Notes, "\n")
	for _, want := range []string{"another smsc is A", "throughput is no number", "by the smsc GONE, which is not translated"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
	for text, want := range map[string]string{
		"group = core\nnonsense it is\n": "line 2: \"nonsense\" begins no line", "": "nothing to write", smsc("port = 1"): "nothing to write", users: "nothing to write",
	} {
		if _, err := Kannel([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", text, err, want)
		}
	}
}

// No two users have one variable, and a shell can read each.
func TestKannelVariables(t *testing.T) {
	user := func(name, password string) string {
		return "group = sendsms-user\nusername = " + name + "\npassword = " + password + "\n\n"
	}
	_, files := translated(t, "group = smsc\nsmsc = smpp\nhost = h\nport = 1\n\n"+user("shop", "one")+user("Shop", "two")+user("2783", "three"))
	for _, line := range []string{"SHOP_SENDSMS_PASSWORD='one'\n", "SHOP_SENDSMS_PASSWORD_2='two'\n", "\n_2783_SENDSMS_PASSWORD='three'\n"} {
		if !strings.Contains(files[VariablesFile], line) {
			t.Errorf("the variables lack %q:\n%s", line, files[VariablesFile])
		}
	}
	if want := "  Shop:\n    password: \"${SHOP_SENDSMS_PASSWORD_2}\"\n"; !strings.Contains(files["kannel.yaml"], want) {
		t.Errorf("the application's file lacks %q:\n%s", want, files["kannel.yaml"])
	}
}

// A slow line stays slow, and what is left out of a service is said.
func TestKannelLosesNothingInSilence(t *testing.T) {
	const service = "group = sms-service\nkeyword = default\nget-url = http://example.org/?%a\n"
	fleet, files := translated(t, "group = smsc\nsmsc = smpp\nhost = h\nport = 1\nthroughput = 0.5\n\n"+
		"group = sendsms-user\nusername = a\npassword = b\n\n"+service+"accepted-smsc = A\n\n"+service)
	if !strings.Contains(files["smpp.yaml"], "mt_tps: 1\n") || strings.Count(files["kannel.yaml"], "get_url") != 1 {
		t.Errorf("the files are %q", files)
	}
	notes := strings.Join(fleet.Notes, "\n")
	for _, want := range []string{"line 5: throughput 0.5 is 1 here", "line 14: accepted-smsc of group sms-service is not translated", "line 16: the sms-service default is not translated"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
}
