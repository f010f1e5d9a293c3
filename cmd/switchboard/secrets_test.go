package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asProgram makes the test's own binary the program: what it prints is then all
// that a user would see.
const asProgram = "SWITCHBOARD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program runs the program, with a stop after a while, and returns what it
// printed on both outputs.
func program(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return out.String()
}

// No command shows the password of a broker or database, whatever is wrong with
// its address.
func TestNoCommandShowsAPassword(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.yaml"), []byte("application_class: echo\ntransport_name: app\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	databases := []string{
		"postgres://app:s3cr3t@127.0.0.1:1/s", "host=127.0.0.1 port=1 user=app password=s3cr3t dbname=s",
		"host=127.0.0.1 port=x password='s3cr3t'", "postgres://app:s3cr3t@127.0.0.1:port/s", "postgres://127.0.0.1:1/s?password=s3cr3t",
		"mysql://app:s3cr3t@h/s", "app:s3cr3t@h", "password=s3cr3t",
	}
	brokers := []string{"amqp://app:s3cr3t@127.0.0.1:1/", "amqp://app:s3 cr3t@h/%", "http://app:s3cr3t@h/", "app:s3cr3t@h", "amqp://app:s3cr3t@127.0.0.1:port/"}
	for _, url := range databases {
		for _, args := range [][]string{{"migrate"}, {"messages"}, {"trace", "m1"}, {"broadcasts", "list"}, {"run", dir}} {
			t.Run(args[0]+" "+url, func(t *testing.T) {
				t.Parallel()
				lookFor(t, program(t, []string{"DATABASE_URL=" + url, "AMQP_URL=http:"}, args...))
			})
		}
	}
	for _, url := range brokers {
		for _, args := range [][]string{{"status"}, {"failures", "list"}, {"run", dir}, {"inject", "app"}} {
			t.Run(args[0]+" "+url, func(t *testing.T) {
				t.Parallel()
				lookFor(t, program(t, []string{"AMQP_URL=" + url, "DATABASE_URL=x:y"}, args...))
			})
		}
	}
}

func lookFor(t *testing.T, output string) {
	t.Helper()
	if strings.Contains(output, "s3") || strings.Contains(output, "cr3t") {
		t.Errorf("the password is in\n%s", output)
	}
	if output == "" {
		t.Error("nothing was printed")
	}
}
