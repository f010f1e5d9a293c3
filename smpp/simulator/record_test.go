package simulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

func TestRecord(t *testing.T) {
	var log bytes.Buffer
	settings := simulator.Settings{Log: &log, Keep: 2}
	v := start(t, settings)
	c := bound(t, v, pdu.CmdBindTransmitter, "esme")
	for i := range 3 {
		c.ask(submit(fmt.Sprint("text ", i)))
	}
	list := v.Submitted()
	if len(list) != 2 || list[0].Text() != "text 1" || list[1].Text() != "text 2" || v.Counters().Forgotten != 2 {
		t.Errorf("kept %+v", list)
	}
	if since, next := v.ReceivedSince(3); len(since) != 1 || next != 4 {
		t.Errorf("since the third: %d, next %d", len(since), next)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var last map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-2]), &last); err != nil || len(lines) < 4 {
		t.Fatalf("%d lines: %v\n%s", len(lines), err, log.String())
	}
	if !strings.Contains(log.String(), `"text":"text 0"`) {
		t.Errorf("record:\n%s", log.String())
	}
}

func TestPasswordsAreNotRecorded(t *testing.T) {
	var log bytes.Buffer
	v := start(t, simulator.Settings{Log: &log})
	dial(t, v).ask(&pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "esme", Password: "hidden"})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "hidden") {
		t.Errorf("the record has the password: %s", log.String())
	}
}

const script = `
listen: 127.0.0.1:0
version: 5.0
seed: 7
accounts:
  - system_id: esme
    password: secret
    behaviour:
      answers:
        delay: 10ms..50ms
        errors:
          - {status: ESME_RSYSERR, rate: 5%}
          - {status: 0x400, rate: 0.01}
behaviour:
  receipts:
    delay: ~2s
    outcomes:
      - {state: UNDELIV, error: "011", rate: 0.1}
phases:
  - after: 1m
    for: 10s
    every: 30s
    account: esme
    behaviour:
      rules:
        - {to: "^31", status: ESME_RINVDSTADR}
`

func TestScript(t *testing.T) {
	s, err := simulator.Parse("script.yaml", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	a := s.Accounts[0].Behaviour.Answers
	if a.Delay.Max.Milliseconds() != 50 || a.Errors[0].Rate != 0.05 || a.Errors[1].Status != 0x400 ||
		s.Behaviour.Receipts.Delay.Mean.Seconds() != 2 || s.Phases[0].Behaviour.Rules[0].Status != simulator.Status(pdu.StatusInvDstAdr) {
		t.Errorf("read %+v", s)
	}
}

func TestWrongScripts(t *testing.T) {
	for text, want := range map[string]string{
		"behavior: {}":                            `did you mean "behaviour"`,
		"behaviour:\n  answers:\n    lost: 2":     `"2" is no probability`,
		"behaviour:\n  answers:\n    delay: soon": `"soon" is no span of time`,
		"behaviour:\n  answers:\n    errors:\n      - {status: ESME_RNOTHING}": `no command_status`,
		"behaviour:\n  receipts:\n    style: fancy":                            `script.yaml:3`,
		"behaviour:\n  receipts:\n    outcomes: [{state: GONE, rate: 1}]":      `"GONE" is no state`,
		"behaviour:\n  links:\n    drop_at: submit":                            `no command is called "submit"`,
		"behaviour:\n  rules: [{to: '('}]":                                     `reading a pattern`,
		"phases:\n  - account: nobody":                                         `there is no account "nobody"`,
		"accounts:\n  - password: x":                                           `system_id`,
		"version: 4":                                                           `"4" is none of 3.3, 3.4, 5.0`,
		"behaviour:\n  generate:\n    methods: [pigeon]":                       `"pigeon"`,
		"behaviour:\n  ids:\n    format: roman":                                `no id format`,
		"certificate: x":                                                       `needs key`,
	} {
		if _, err := simulator.Parse("script.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n  got  %v\n  want %s", text, err, want)
		}
	}
}

// The scripts that come with the program load.
func TestScriptsThatShip(t *testing.T) {
	files, err := filepath.Glob("../../configs/simulators/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d: %v", len(files), err)
	}
	for _, file := range files {
		if _, err := simulator.Read(file); err != nil {
			t.Error(err)
		}
	}
}

// Every block of YAML in the documentation loads.
func TestScriptsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := simulator.Parse("docs/simulator.md", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if len(blocks) == 0 {
		t.Error("no script is shown")
	}
}
