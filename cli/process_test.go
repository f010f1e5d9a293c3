package cli

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchboard/operate/processes"
)

// A machine's log is read by people too, at night: 100ms, and not 100000000.
func TestLogsHaveReadableDurations(t *testing.T) {
	var log bytes.Buffer
	logger, err := (&processFlags{logLevel: "info"}).logger(&log)
	if err != nil {
		t.Fatal(err)
	}
	logger.With("every", time.Minute).Info("trying again", "in", 100*time.Millisecond, slog.Group("queue", "age", 90*time.Second))
	var line struct {
		In, Every string
		Queue     struct{ Age string }
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.In != "100ms" || line.Every != "1m0s" || line.Queue.Age != "1m30s" {
		t.Errorf("%v: %s", err, log.Bytes())
	}
}

// Processes that start before a worker take none of the ports that files name.
func TestStatusPortsAreNobodyElses(t *testing.T) {
	number := regexp.MustCompile(`\b[0-9]{4,5}\b`)
	for _, dir := range []string{"../configs", "../docs", "../examples"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".yaml") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, found := range number.FindAllString(string(text), -1) {
				if n, _ := strconv.Atoi(found); n >= processes.FirstPort && n <= processes.LastPort {
					t.Errorf("%s uses port %d", path, n)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
