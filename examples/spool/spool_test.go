package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"switchboard/options"
	"switchboard/transports/transporttest"
	"testing"
	"time"

	"example.org/plugins/spool"
)

// What every transport owes.
func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		p := &person{dir: t.TempDir()}
		tr := spool.New()
		tr.In, tr.Out, tr.Every = t.TempDir(), t.TempDir(), options.Duration(time.Millisecond)
		p.in, p.out = tr.In, tr.Out
		return &transporttest.Outside{Transport: tr, Say: p.say, Hear: p.hear}
	})
}

// person writes files and reads them.
type person struct {
	dir, in, out string
	said         int
}

// say returns when the file is gone: its text was accepted, or is a .failed one.
func (p *person) say(ctx context.Context, text string) error {
	p.said++
	name := fmt.Sprintf("thandi.%06d.txt", p.said)
	draft, sent := filepath.Join(p.dir, name), filepath.Join(p.in, name)
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Rename(draft, sent); err != nil {
		return err
	}
	if err := poll(ctx, func() bool { _, err := os.Stat(sent); return err != nil }); err != nil {
		return err
	}
	if _, err := os.Stat(strings.TrimSuffix(sent, ".txt") + ".failed"); err == nil {
		return errors.New("the text was refused")
	}
	return nil
}

func (p *person) hear(ctx context.Context) (text string, err error) {
	err = poll(ctx, func() bool {
		files, _ := filepath.Glob(filepath.Join(p.out, "*.txt"))
		if len(files) == 0 {
			return false
		}
		read, _ := os.ReadFile(files[0])
		text = string(read)
		return os.Remove(files[0]) == nil
	})
	return text, err
}

// poll looks until something is so: a directory tells nobody.
func poll(ctx context.Context, is func() bool) error {
	for !is() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		in, out string
		every   time.Duration
		want    string
	}{
		{"", "out", time.Second, "in: is missing"},
		{"in", "", time.Second, "out: is missing"},
		{"in", "out", 0, "every: must be above 0"},
	} {
		tr := spool.New()
		tr.In, tr.Out, tr.Every = c.in, c.out, options.Duration(c.every)
		if err := tr.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v gave %v, not %s", c, err, c.want)
		}
	}
}
