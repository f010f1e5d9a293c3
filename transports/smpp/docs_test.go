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
	for _, file := range []string{"metrics.go", "binds/metrics.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		metrics := regexp.MustCompile(`\b(?:set\.Gauge|set\.Counter|set\.Histogram|counter)\("(\w+)"`).FindAllStringSubmatch(string(source), -1)
		if len(metrics) < 5 {
			t.Errorf("%s has %d metrics", file, len(metrics))
		}
		for _, found := range metrics {
			if !strings.Contains(page, "`switchboard_smpp_"+found[1]+"`") {
				t.Errorf("docs/smpp.md does not name switchboard_smpp_%s", found[1])
			}
		}
	}
}
