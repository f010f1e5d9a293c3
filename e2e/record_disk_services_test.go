//go:build services && linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// smallDisk gives a database a disk of its own, of so many megabytes, which
// room makes larger. Mounting it takes root.
func smallDisk(t *testing.T, url string, megabytes int) (room func(megabytes int)) {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "switchboard-disk-") // where the database's user may go, too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	size := func(n int) string { return fmt.Sprintf("size=%dm", n) }
	err = syscall.Mount("tmpfs", dir, "tmpfs", 0, size(megabytes))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("a disk that is full is a small one that this test mounts, which takes root and CAP_SYS_ADMIN")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // the database may still be there
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	var data, name string
	if err := c.QueryRow(t.Context(), "SELECT current_setting('data_directory'), current_database()").Scan(&data, &name); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(owner.Sys().(*syscall.Stat_t).Uid), -1); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE TABLESPACE small LOCATION '" + dir + "'", "ALTER DATABASE " + name + " SET default_tablespace = small",
	} {
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return func(n int) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, size(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// The database's disk is full: traffic goes on, the worker says why it does not
// record, and when there is room again all of it is in the record, with nothing
// dead-lettered and nobody restarted.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	const some, more = 400, 2000 // more than the replicas prefetch
	s := startServers(t, "rabbitmq", "postgres")
	room := smallDisk(t, s.url("DATABASE_URL"), 16)
	o := &operator{t, []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL")}}
	o.must("migrate")
	memory := []string{o.env[0], "DATABASE_URL=memory:"}
	b := connect(t, s.url("AMQP_URL"))
	h := newPeople(t, b, "load", true)
	start(t, "echo", echoYAML, memory...)
	start(t, "join", routeYAML, memory...)
	replicas := []*process{}
	for range 2 {
		replicas = append(replicas, start(t, "keep", fmt.Sprintf(recordYAML, "keep"), o.env...))
	}
	full := func() bool {
		return strings.Contains(replicas[0].logged()+replicas[1].logged(), "No space left on device")
	}
	all := 0
	eventually(t, "the disk is full", func() bool { h.converse(some); all += some; return full() })
	t.Logf("full after %d conversations", all)
	for _, p := range replicas {
		p.await("/healthz")
	}
	t.Logf("%d conversations with a full disk took %s", more, h.converse(more))
	all += more
	if waiting, err := b.Inspect(t.Context(), "persistence.keep"); err != nil || waiting.Messages == 0 {
		t.Errorf("nothing waits to be recorded: %+v, %v", waiting, err)
	}
	people := []byte("address\n")
	for i := range 20_000 {
		people = fmt.Appendf(people, "+2784%07d\n", i)
	}
	list := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(list, people, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := o.run("send", "--transport", "load", "--from-file", list, "--text", "hello")
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("storing a broadcast on a full disk: %v", err)
	}
	room(1024)
	o.awaitAudit(map[string]int{"I R": all, "O S": all})
	for _, p := range replicas {
		if strings.Contains(p.logged(), "dead-letter") {
			t.Errorf("something was dead-lettered:\n%s", p.logged())
		}
	}
	if _, again := h.counts(); again > 0 {
		t.Errorf("%d messages came twice", again)
	}
}
