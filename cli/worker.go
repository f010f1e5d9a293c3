package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/options"
)

// workerCommand is Vumi's way to start a worker, so that what starts a Vumi
// fleet can start this one.
func workerCommand(version string, classes fleet.Classes) *cobra.Command {
	var flags processFlags
	var class, path string
	var opts []string
	cmd := &cobra.Command{
		Use:     "worker --worker-class CLASS [--config FILE] [--set-option KEY:VALUE]…",
		Aliases: []string{"vumi_worker"},
		Short:   "Run one worker, as Vumi's command line does",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			def, err := defineWorker(classes, class, path, opts)
			if err != nil {
				return misused(err)
			}
			return flags.run(cmd.Context(), version, classes, []*fleet.Definition{def})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&class, "worker-class", "", "class of the worker, by its short name or Vumi's")
	cmd.Flags().StringVar(&path, "config", "", "its YAML file")
	cmd.Flags().StringArrayVar(&opts, "set-option", nil, "an option over the file's, KEY:VALUE")
	return cmd
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
