package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"switchboard/fleet"
	"switchboard/operate"
)

// Every kind of error has one exit code, whatever the command.
func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitMisused:     fmt.Errorf("reading: %w", operate.Misused(errors.New("x"))),
		exitUnreachable: errors.Join(operate.Unreachable{Err: errors.New("x")}, nil),
		exitStuck:       coded{errors.New("x"), exitStuck},
		exitInterrupted: fmt.Errorf("waiting: %w", context.Canceled),
		exitFailed:      errors.New("x"),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	for _, code := range []int{exitOK, exitFailed, exitMisused, exitStuck, exitUnreachable, exitInterrupted} {
		if !strings.Contains(exitCodes, fmt.Sprintf("  %d ", code)) {
			t.Errorf("exit code %d is not explained", code)
		}
	}
}

// What cannot be asked is told from what is wrong.
func TestUnreachableHasItsOwnExitCode(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	root := Root("test", fleet.Classes{})
	root.SetArgs([]string{"messages", "--database-url", "postgres://" + address + "/x?connect_timeout=5"})
	root.SetOut(io.Discard)
	if err := root.ExecuteContext(t.Context()); exitCode(err) != exitUnreachable || strings.Count(err.Error(), "refused") != 1 {
		t.Errorf("a database that is away: %v", err)
	}
}

// A database that cannot be written says so.
func TestUnwritableDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	root := Root("test", fleet.Classes{})
	root.SetArgs([]string{"migrate", "--database-url", "sqlite:" + filepath.Join(path, "record.db")})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "its directory must be writable: not a directory") {
		t.Errorf("got %v", err)
	}
}

// A program of another name, built from these commands, speaks of itself.
func TestAProgramNamesItself(t *testing.T) {
	for _, line := range [][]string{{"--help"}, {"check", "--help"}, {"--version"}, {"version"}, {"help", "exit-codes"}} {
		root := named("poll", Root("1.0", fleet.Classes{}))
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(line)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if text := out.String(); strings.Contains(text, "switchboard ") || line[0] != "help" && !strings.Contains(text, "poll") {
			t.Errorf("%v:\n%s", line, text)
		}
	}
}

func TestHelpIsGrouped(t *testing.T) {
	root := Root("1.0", fleet.Classes{})
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Run a fleet:\n", "files; nothing runs", "Look after a fleet's queues:\n", "Ask the record", "exit-codes"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing from\n%s", want, out.String())
		}
	}
}

// Colours are for terminals.
func TestNoColoursInFiles(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, out := range []io.Writer{file, &bytes.Buffer{}} {
		if got := paint(out, red, "x"); got != "x" {
			t.Errorf("got %q", got)
		}
	}
}

// endlessFile is the environment variable that makes this test program check a file
// that is never read to its end.
const endlessFile = "SWITCHBOARD_TEST_ENDLESS_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(endlessFile); path != "" {
		os.Args = []string{"switchboard", "check", path}
		os.Exit(Main("test", fleet.Classes{}))
	}
	_ = os.Unsetenv("DATABASE_URL") // a test names its database, or has none
	os.Exit(m.Run())
}

// A signal ends a command that is busy with something else.
func TestASignalEndsEveryCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), endlessFile+"="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0) // waits until the command reads
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want exit code %d", err, exitInterrupted)
	}
}

// The shell completes the values of flags that have few.
func TestFlagValuesAreCompleted(t *testing.T) {
	for line, want := range map[string]string{
		"graph --format ": "mermaid", "status --log": "", "failures list --reason ": "exhausted", "messages --state ": "D",
		"route --flow ": "outbound", "tail --flow ": "event", "inject --queue-type ": "quorum", "run --log-level ": "warn",
	} {
		root := Root("1.0", fleet.Classes{})
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"__complete"}, strings.Split(line, " ")...))
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %v\n%s", line, err, out.String())
		}
	}
}
