//go:build services

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each tutorial, typed word for word on a clone, does what it says. Their ports
// are fixed, so they run in turn.
func TestTutorials(t *testing.T) {
	for _, c := range []struct{ page, dir string }{
		{"docs/tutorial-operator.md", "switchboard"}, // in the checkout
		{"docs/tutorial-application.md", "."},        // beside it
		{"docs/tutorial-ten-minutes.md", "switchboard"},
		{"examples/README.md", "switchboard"},
	} {
		t.Run(filepath.Base(c.page), func(t *testing.T) {
			dir := t.TempDir()
			checkOut(t, filepath.Join(dir, "switchboard"))
			text, err := os.ReadFile(filepath.Join(dir, "switchboard", c.page))
			if err != nil {
				t.Fatal(err)
			}
			s := openShell(t, filepath.Join(dir, c.dir))
			steps := tutorialSteps(string(text))
			if len(steps) < 5 {
				t.Fatalf("%s has %d steps", c.page, len(steps))
			}
			for _, step := range steps {
				s.follow(step)
			}
		})
	}
}

// checkOut copies the checkout, with what is not committed yet.
func checkOut(t *testing.T, dir string) {
	t.Helper()
	copied := exec.Command("bash", "-c", `set -euo pipefail
git ls-files -co --exclude-standard -z | xargs -0 -I{} sh -c '[ ! -f "{}" ] || printf "%s\0" "{}"' | tar -c --null -T - | tar -x -C "$0"`, dir)
	copied.Dir = ".."
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copying the checkout: %v\n%s", err, out)
	}
}

// tutorialStep is a file to write, or a command and what it prints.
type tutorialStep struct {
	file, text string
	command    string
	want       []string
}

// tutorialSteps reads a page. A file is its name in backquotes and a fenced block;
// commands stand in indented blocks after "$ ", or have no output where no line
// of the block begins so.
func tutorialSteps(page string) (steps []tutorialStep) {
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		name, named := strings.CutPrefix(line, "`")
		switch {
		case named && strings.Count(line, "`") == 2 && strings.HasSuffix(line, "`") && i+2 < len(lines) && strings.HasPrefix(lines[i+2], "```"):
			end := i + 3 + slices.Index(lines[i+3:], "```")
			steps = append(steps, tutorialStep{file: strings.TrimSuffix(name, "`"), text: strings.Join(lines[i+3:end], "\n") + "\n"})
			i = end
		case strings.HasPrefix(line, "```"):
			i += 1 + slices.Index(lines[i+1:], "```")
		case strings.HasPrefix(line, "    "):
			end := i
			for end < len(lines) && (strings.HasPrefix(lines[end], "    ") || (lines[end] == "" && strings.HasPrefix(lines[min(end+1, len(lines)-1)], "    "))) {
				lines[end] = strings.TrimPrefix(lines[end], "    ")
				end++
			}
			steps = append(steps, commandsOf(lines[i:end])...)
			i = end - 1
		}
	}
	return steps
}

func commandsOf(block []string) (steps []tutorialStep) {
	prompted := strings.HasPrefix(block[0], "$ ")
	for i := 0; i < len(block); i++ {
		command, typed := strings.CutPrefix(block[i], "$ ")
		switch {
		case prompted && !typed:
			last := &steps[len(steps)-1]
			last.want = append(last.want, block[i])
			continue
		case !prompted && !looksLikeACommand.MatchString(command):
			continue // a sample of output
		}
		if strings.Contains(command, "<<'END'") {
			end := i + slices.Index(block[i:], "END")
			command = command + "\n" + strings.Join(block[i+1:end+1], "\n")
			i = end
		}
		steps = append(steps, tutorialStep{command: command})
	}
	return steps
}

var looksLikeACommand = regexp.MustCompile(`^(cd|go|mkdir|echo|cat) `)

// shell is a terminal that a tutorial is typed into.
type shell struct {
	*testing.T
	in  io.Writer
	out *bufio.Reader
	dir string // where it began
}

// mark follows the output of each command.
const mark = "--- the command is done, and its code is"

func openShell(t *testing.T, dir string) *shell {
	t.Helper()
	cmd := exec.Command("bash", "--norc")
	cmd.Dir = dir
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains([]string{"AMQP_URL", "DATABASE_URL", "SERVICES", "SERVICES_DIR"}, name) { // as a newcomer's are
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &shell{t, in, bufio.NewReader(out), dir}
	s.run("set -m") // jobs have numbers
	t.Cleanup(func() {
		defer time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }).Stop()
		_, _ = io.WriteString(in, "kill $(jobs -p) 2>/dev/null; wait; "+filepath.Join(dir, "scripts/services")+" down 2>/dev/null; exit\n")
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	return s
}

// notice is what a shell says of its jobs.
var notice = regexp.MustCompile(`^\[\d+\]`)

func (s *shell) run(command string) (said []string, code string) {
	s.Helper()
	if _, err := fmt.Fprintf(s.in, "%s\nprintf '\\n%s %%d\\n' $?\n", command, mark); err != nil {
		s.Fatal(err)
	}
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.Fatalf("$ %s\nthe shell ended: %v", command, err)
		}
		line = strings.TrimSuffix(line, "\n")
		if code, done := strings.CutPrefix(line, mark+" "); done {
			for len(said) > 0 && said[len(said)-1] == "" {
				said = said[:len(said)-1]
			}
			return said, code
		}
		if !notice.MatchString(line) {
			said = append(said, line)
		}
	}
}

// onlyLooks are commands that change nothing, and so may be given until they show
// what a background process does meanwhile.
var onlyLooks = regexp.MustCompile(`^(cat [^>]*$|grep |curl -s http|switchboard (status|messages|trace|failures list) )`)

var output = regexp.MustCompile(`>(\S+\.log) `)

func (s *shell) follow(step tutorialStep) {
	s.Helper()
	if step.file != "" {
		if _, code := s.run(fmt.Sprintf("mkdir -p $(dirname %[1]s) && cat >%[1]s <<'END-OF-FILE'\n%[2]sEND-OF-FILE", step.file, step.text)); code != "0" {
			s.Fatalf("writing %s: %s", step.file, code)
		}
		return
	}
	var said []string
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		var code string
		said, code = s.run(step.command)
		if code == "0" && shows(said, step.want) {
			break
		}
		if !onlyLooks.MatchString(step.command) || time.Now().After(deadline) {
			s.Fatalf("$ %s\nends with %s and prints\n%s\nnot\n%s", step.command, code, strings.Join(said, "\n"), strings.Join(step.want, "\n"))
		}
	}
	if log := output.FindStringSubmatch(step.command); log != nil {
		eventually(s.T, step.command+" has begun", func() bool { _, code := s.run("test -s " + log[1]); return code == "0" })
	}
}

// varying is what differs from one run to the next, and in what it is compared as.
var varying = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d\.\d+`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "ID"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|s|µs|m)\b|\(cached\)`), "DURATION"},
	{regexp.MustCompile(`\t`), " "},
	{regexp.MustCompile(` +`), " "},
}

// shows says whether a command printed what the page has; … stands for any lines.
func shows(said, want []string) bool {
	if len(want) == 0 {
		return true
	}
	text := "\n" + normal(said) + "\n"
	segments := strings.Split("\n"+normal(want)+"\n", "\n…\n")
	for i, segment := range segments {
		at := strings.Index(text, segment)
		if segment == "" || segment == "\n" {
			continue
		}
		if !strings.HasPrefix(segment, "\n") {
			at = strings.Index(text, "\n"+segment)
		}
		if at < 0 || (i == 0 && at != 0) || (i == len(segments)-1 && !strings.HasSuffix(text, segment)) {
			return false
		}
		text = text[at+len(segment)-1:]
	}
	return true
}

func normal(lines []string) string {
	text := strings.TrimSpace(strings.Join(lines, "\n"))
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.as)
	}
	trimmed := strings.Split(text, "\n")
	for i, line := range trimmed {
		trimmed[i] = strings.TrimSpace(line)
	}
	return strings.Join(trimmed, "\n")
}
