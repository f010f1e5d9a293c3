package smpp

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page names every metric, and the file it shows is one.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/smpp.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
		own := strings.ReplaceAll(strings.ReplaceAll(block[1], "transport_class: smpp\n", ""), "${SMPP_PASSWORD}", "secret")
		if _, _, err := load(t, own); err != nil {
			t.Errorf("%s\n%v", block[1], err)
		}
	}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?:gauge|counter)\("(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		if !strings.Contains(page, "switchboard_smpp_"+found[1]) {
			t.Errorf("docs/smpp.md does not name switchboard_smpp_%s", found[1])
		}
	}
}
