// Package spool is a transport: texts are files. What people send is found in one
// directory, what is sent to them is written into another.
package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
	"sync/atomic"
	"time"
)

// Transport is the spool. Its fields are the keys of its YAML file.
type Transport struct {
	// In is the directory of the texts from people: ADDRESS.ANYTHING.txt, moved
	// there when they are complete.
	In string `yaml:"in"`
	// Out is the directory of the texts to people.
	Out string `yaml:"out"`
	// Every is how often In is looked at.
	Every options.Duration `yaml:"every"`
	// ToAddr is the address that people write to.
	ToAddr string `yaml:"to_addr"`

	running atomic.Bool
}

var _ transports.Transport = (*Transport)(nil)

// New is a Transport with its defaults.
func New() *Transport {
	return &Transport{Every: options.Duration(time.Second), ToAddr: "spool"}
}

// Validate checks what was written.
func (t *Transport) Validate() error {
	switch {
	case t.In == "":
		return options.Fieldf("in", "is missing; write a directory")
	case t.Out == "":
		return options.Fieldf("out", "is missing; write a directory")
	case t.Every <= 0:
		return options.Fieldf("every", "must be above 0")
	}
	return nil
}

// Run takes in what people send, until ctx ends.
func (t *Transport) Run(ctx context.Context, out transports.Publisher) error {
	if err := out.Status(ctx, message.NewStatus("spool", message.OK, "ready", "The directories are looked at.")); err != nil {
		return err
	}
	t.running.Store(true)
	defer t.running.Store(false)
	tick := time.NewTicker(t.Every.Std())
	defer tick.Stop()
	for {
		if err := t.takeAll(ctx, out); err != nil && ctx.Err() == nil {
			return err // the worker is started again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (t *Transport) takeAll(ctx context.Context, out transports.Publisher) error {
	files, err := filepath.Glob(filepath.Join(t.In, "*.txt")) // sorted: the order is kept
	for _, file := range files {
		if err == nil {
			err = t.take(ctx, out, file)
		}
	}
	return err
}

// take deletes a file only when the broker has its text. One that the broker
// refuses is renamed to .failed.
func (t *Transport) take(ctx context.Context, out transports.Publisher, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	m := message.New()
	m.From, _, _ = strings.Cut(filepath.Base(file), ".")
	m.To, m.Content, m.TransportType = t.ToAddr, string(text), "spool"
	switch err := out.Inbound(ctx, m); {
	case err == nil:
		return os.Remove(file)
	case ctx.Err() != nil:
		return err
	default:
		return os.Rename(file, strings.TrimSuffix(file, ".txt")+".failed")
	}
}

// errStopped is tried again, by whoever runs next.
var errStopped = errors.New("the spool is not running")

// Send writes a text. Its file is named by time and message: names sort as texts
// were made, and one that is sent twice is there once.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case !t.running.Load():
		return "", errStopped
	case m.To == "" || strings.ContainsAny(m.To, "./\x00"):
		return "", message.Permanent(fmt.Errorf("%q cannot be part of a file's name", m.To))
	}
	name := fmt.Sprintf("%s.%s.%s.txt", m.To, m.Timestamp.UTC().Format("20060102150405.000000"), m.ID)
	part := filepath.Join(t.Out, name+".part")
	if err := os.WriteFile(part, []byte(m.Content), 0o600); err != nil {
		return "", fmt.Errorf("writing a text: %w", err) // it is tried again
	}
	return name, os.Rename(part, filepath.Join(t.Out, name))
}
