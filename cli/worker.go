package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"switchboard/fleet"
	"switchboard/options"
)

// workerCommand is Vumi's way to start a worker, so that what starts a Vumi
// fleet can start this one.
func workerCommand(version string, classes fleet.Classes) *cobra.Command {
	var flags processFlags
	var vumi vumiFlags
	var class, path string
	var opts []string
	cmd := &cobra.Command{
		Use:     "worker --worker-class CLASS [--config FILE] [--set-option KEY:VALUE]…",
		Aliases: []string{"vumi_worker"},
		Short:   "Run one worker, as Vumi's command line does",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := vumi.settle(cmd, &flags); err != nil {
				return misused(err)
			}
			def, err := defineWorker(classes, class, path, opts)
			if err != nil {
				return misused(err)
			}
			return flags.run(cmd.Context(), version, classes, []*fleet.Definition{def})
		},
	}
	flags.add(cmd)
	vumi.add(cmd)
	cmd.Flags().StringVar(&class, "worker-class", "", "class of the worker, by its short name or Vumi's")
	cmd.Flags().StringVar(&path, "config", "", "its YAML file")
	cmd.Flags().StringArrayVar(&opts, "set-option", nil, "an option over the file's, KEY:VALUE")
	return cmd
}

// vumiFlags are the options of Vumi's own command line.
type vumiFlags struct {
	host, port, user, password, vhost string
	config                            string
	ignored                           [4]string
}

// vumiIgnored are options that mean nothing here, and why.
var vumiIgnored = [...]struct{ name, why string }{
	{"specfile", "the program speaks AMQP 0-9-1 by itself"},
	{"system-id", "--http serves /metrics and /status, which name the worker"},
	{"sentry", "errors are in the log"},
	{"maxthreads", "there is no thread pool"},
}

func (v *vumiFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	for _, f := range [...]struct {
		into        *string
		name, about string
	}{
		{&v.host, "hostname", "Vumi's: the broker's host, over that of --amqp-url"},
		{&v.port, "port", "Vumi's: the broker's port"},
		{&v.user, "username", "Vumi's: who connects to the broker"},
		{&v.password, "password", "Vumi's: the password; AMQP_URL hides it better"},
		{&v.vhost, "vhost", "Vumi's: the broker's virtual host"},
		{&v.config, "vumi-config", "Vumi's: a YAML file with hostname, port, username, password and vhost"},
	} {
		flags.StringVar(f.into, f.name, "", f.about)
	}
	for i, f := range vumiIgnored {
		flags.StringVar(&v.ignored[i], f.name, "", "Vumi's, without effect: "+f.why)
	}
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-")) // --worker_class is Vumi's old spelling
	})
}

// settle reads --vumi-config, warns of what has no effect, and puts what Vumi's options
// say of the broker into the process's URL.
func (v *vumiFlags) settle(cmd *cobra.Command, flags *processFlags) error {
	for i, f := range vumiIgnored {
		if v.ignored[i] != "" {
			cmd.PrintErrf("--%s has no effect: %s\n", f.name, f.why)
		}
	}
	if v.config != "" {
		if err := v.readConfig(); err != nil {
			return err
		}
	}
	if v.host == "" && v.port == "" && v.user == "" && v.password == "" && v.vhost == "" {
		return nil
	}
	u, err := url.Parse(flags.amqpURL)
	if err != nil || u.Host == "" {
		return errors.New("the broker's URL, over which --hostname and its like are put, cannot be read; set AMQP_URL") // it may hold a password
	}
	u.Host = net.JoinHostPort(cmp.Or(v.host, u.Hostname()), cmp.Or(v.port, u.Port(), "5672"))
	old, _ := u.User.Password()
	u.User = url.UserPassword(cmp.Or(v.user, u.User.Username()), cmp.Or(v.password, old))
	if v.vhost != "" {
		u.Path, u.RawPath = "/"+v.vhost, "/"+url.PathEscape(v.vhost)
	}
	flags.amqpURL = u.String()
	return nil
}

func (v *vumiFlags) readConfig() error {
	doc, err := options.Read(v.config)
	if err != nil {
		return err
	}
	file := struct {
		Host     string         `yaml:"hostname"`
		Port     string         `yaml:"port"`
		User     string         `yaml:"username"`
		Password options.Secret `yaml:"password"`
		VHost    string         `yaml:"vhost"`
	}{}
	if err := doc.Into(&file); err != nil {
		return err
	}
	for _, f := range vumiIgnored {
		doc.Ignore(f.name)
	}
	v.host, v.port, v.user = cmp.Or(v.host, file.Host), cmp.Or(v.port, file.Port), cmp.Or(v.user, file.User)
	v.password, v.vhost = cmp.Or(v.password, file.Password.Reveal()), cmp.Or(v.vhost, file.VHost)
	return doc.Rest()
}

func defineWorker(classes fleet.Classes, class, path string, opts []string) (*fleet.Definition, error) {
	if class == "" && path == "" {
		return nil, errors.New("say which worker: --worker-class CLASS, --config FILE, or both")
	}
	doc, err := options.Parse("--set-option", nil, nil)
	if path != "" {
		doc, err = options.Read(path)
	}
	if err != nil {
		return nil, err
	}
	for _, option := range opts {
		key, value, found := strings.Cut(option, ":")
		if !found {
			return nil, fmt.Errorf("--set-option %s: write KEY:VALUE", option)
		}
		if err := doc.Set(strings.TrimSpace(key), value); err != nil {
			return nil, err
		}
	}
	if class != "" {
		if err := classes.SetClass(doc, class); err != nil {
			return nil, err
		}
	}
	return classes.Define(doc)
}
