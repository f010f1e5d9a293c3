package fleet

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"switchboard/applications"
	"switchboard/dispatcher"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/worker"
)

// Definition is one worker as its file says it is.
type Definition struct {
	Path  string
	Kind  string // dispatcher, transport, application or worker
	Class string // short name
	Name  string // the worker's name
	// Connector is the transport's or application's; a dispatcher has Names.
	Connector string
	Names     dispatcher.Names
	Router    dispatcher.Router  // of a dispatcher
	Options   dispatcher.Options // of a dispatcher
	Settings  *worker.Settings
	Warnings  []string

	doc    *options.Document
	plugin any // the router, transport, application or standalone worker
	layers []worker.Layer
	build  func(worker.Dependencies) (worker.Worker, error)
}

// The kinds of workers.
const (
	KindDispatcher  = worker.KindDispatcher
	KindTransport   = worker.KindTransport
	KindApplication = worker.KindApplication
	KindWorker      = worker.KindWorker
)

// Define makes a definition of one worker's document.
func (c Classes) Define(doc *options.Document) (*Definition, error) {
	d := &Definition{Path: doc.Path, doc: doc}
	if c.Default != "" && !slices.ContainsFunc(classKeys, doc.Has) {
		if err := c.SetClass(doc, c.Default); err != nil {
			return nil, fmt.Errorf("%s: %w", doc.Path, err)
		}
	}
	err := c.decode(d)
	if d.Class == "" {
		return nil, err // without a class no key can be told from another
	}
	layers, layersErr := c.middleware(doc)
	if layersErr == nil { // else the sections of middleware are nobody's
		layersErr = doc.Rest()
	}
	if err := errors.Join(err, layersErr); err != nil {
		return nil, err
	}
	d.layers = layers
	if d.Name = d.Settings.Name; d.Name == "" {
		d.Name = strings.TrimSuffix(filepath.Base(doc.Path), filepath.Ext(doc.Path))
	}
	d.Warnings = append(d.Warnings, doc.Warnings()...)
	return d, nil
}

func (c Classes) decode(d *Definition) error {
	switch {
	case d.doc.Has(routerKey):
		d.doc.Ignore(workerKey) // Vumi's files may name BaseDispatchWorker too
		return c.decodeDispatcher(d)
	case d.doc.Has(transportKey):
		d.doc.Rename("TRANSPORT_NAME", "transport_name") // as the oldest of Vumi's files have it
		return c.decodeTransport(d)
	case d.doc.Has(applicationKey):
		return c.decodeApplication(d)
	case d.doc.Has(workerKey):
		return c.decodeWorker(d)
	}
	return fmt.Errorf("%s: one of %s, %s, %s, %s must say what this worker is; or name its class on the command line: --worker-class CLASS",
		d.Path, routerKey, transportKey, applicationKey, workerKey)
}

func (c Classes) decodeDispatcher(d *Definition) error {
	router, err := pick(c, d, routerKey, c.Routers)
	if err != nil {
		return err
	}
	opts := dispatcher.DefaultOptions()
	if err := into(d.doc, &opts, router); err != nil {
		return err
	}
	d.Kind, d.Settings, d.Router, d.Names, d.Options = KindDispatcher, &opts.Settings, router, opts.Names(), opts
	d.plugin = router
	if checker, can := router.(dispatcher.Checker); can {
		if err := checker.Check(d.Names); err != nil {
			return d.doc.Locate(err)
		}
	}
	if adviser, can := router.(dispatcher.Linter); can {
		d.warn(adviser.Lint(d.Names))
	}
	d.build = func(env worker.Dependencies) (worker.Worker, error) { return dispatcher.New(env, opts, router), nil }
	return nil
}

// Listens are the addresses (host:port) that the worker listens at.
func (d *Definition) Listens() []string {
	if l, listens := d.plugin.(worker.Listener); listens {
		return l.Listens()
	}
	return nil
}

// logsInAs is the account that the worker logs in with; "" where there is none, or
// several may share it.
func (d *Definition) logsInAs() string {
	if a, does := d.plugin.(worker.Account); does {
		return a.LogsInAs()
	}
	return ""
}

// OwnQueues are the queues of an application beside those of its connector, and those of a
// worker that stands alone.
func (d *Definition) OwnQueues() (names []string) {
	if owner, has := d.plugin.(applications.QueueOwner); has {
		if d.Kind == KindWorker {
			return owner.Queues()
		}
		for _, name := range owner.Queues() {
			names = append(names, applications.QueueName(d.Connector, name))
		}
	}
	return names
}

// Plugin is the router, transport, application or worker that stands alone, with the
// file's options.
func (d *Definition) Plugin() any { return d.plugin }

// warn adds every part of err to the warnings.
func (d *Definition) warn(err error) {
	if err = d.doc.Locate(err); err == nil { // also where it is about a secret that is not here
		return
	}
	d.Warnings = append(d.Warnings, strings.Split(err.Error(), "\n")...)
}

func (c Classes) decodeTransport(d *Definition) error {
	transport, err := pick(c, d, transportKey, c.Transports)
	if err != nil {
		return err
	}
	opts := transports.DefaultOptions()
	if err := into(d.doc, &opts, transport); err != nil {
		return err
	}
	d.Kind, d.Settings, d.Connector, d.plugin = KindTransport, &opts.Settings, opts.TransportName, transport
	if adviser, can := transport.(transports.Linter); can {
		d.warn(adviser.Lint())
	}
	d.build = func(env worker.Dependencies) (worker.Worker, error) { return transports.New(env, opts, transport), nil }
	return nil
}

func (c Classes) decodeApplication(d *Definition) error {
	app, err := pick(c, d, applicationKey, c.Applications)
	if err != nil {
		return err
	}
	opts := applications.DefaultOptions()
	if err := into(d.doc, &opts, app); err != nil {
		return err
	}
	d.Kind, d.Settings, d.Connector, d.plugin = KindApplication, &opts.Settings, opts.TransportName, app
	if linter, can := app.(applications.Linter); can {
		d.warn(linter.Lint())
	}
	d.build = func(env worker.Dependencies) (worker.Worker, error) { return applications.New(env, opts, app), nil }
	return nil
}

func (c Classes) decodeWorker(d *Definition) error {
	standalone, err := pick(c, d, workerKey, c.Workers)
	if err != nil {
		return err
	}
	if err := into(d.doc, standalone); err != nil {
		return err
	}
	d.Kind, d.Settings, d.plugin, d.build = KindWorker, standalone.Common(), standalone, standalone.Worker
	return nil
}

func pick[T any](c Classes, d *Definition, key string, classes map[string]Class[T]) (T, error) {
	var none T
	name := d.doc.Text(key)
	short, class, err := lookUp(classes, name)
	if err != nil {
		if instead, known := c.Replaced[name]; known {
			err = fmt.Errorf("class %q is not here: %s", name, instead)
		} else if keys := c.keysOf(name); len(keys) > 0 {
			err = fmt.Errorf("class %q is of another kind: write %s", name, strings.Join(keys, " or "))
		}
		return none, fmt.Errorf("%s: %s: %w", d.doc.Position(key), key, err)
	}
	d.Class = short
	return class.New(), nil
}

type validator interface{ Validate() error }

// into decodes the document's keys over parts, each taking its share, and
// checks them.
func into(doc *options.Document, parts ...any) error {
	var errs []error
	for _, part := range parts {
		errs = append(errs, doc.Into(part))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, part := range parts {
		if v, can := part.(validator); can {
			errs = append(errs, doc.Locate(v.Validate()))
		}
	}
	return errors.Join(errs...)
}
