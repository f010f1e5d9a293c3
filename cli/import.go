package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"switchboard/operate/importer"
)

func importCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "import KANNEL.CONF", Short: "Write a fleet that does what a kannel.conf says, and say what it does not",
		Long: `Write a fleet that does what a kannel.conf says, and say what it does not.

smsc groups of SMPP become transports, smsbox and sendsms-user groups the application
kannel, and a dispatcher joins them. Secrets go to variables.env, which only you may read;
the fleet's files name them. No file is overwritten.`,
		Example: "  switchboard import kannel.conf --output fleet\n  set -a; . fleet/variables.env; switchboard check fleet",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return misused(fmt.Errorf("reading the configuration: %w", err))
			}
			fleet, err := importer.Kannel(text)
			for _, note := range fleet.Notes {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), args[0]+": "+note)
			}
			if err != nil {
				return misused(err)
			}
			return writeFleet(cmd, dir, fleet.Files)
		},
	}
	cmd.Flags().StringVar(&dir, "output", "fleet", "the directory to write to")
	return cmd
}

func writeFleet(cmd *cobra.Command, dir string, files []importer.File) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return misused(fmt.Errorf("making the directory: %w", err))
	}
	for _, file := range files {
		if _, err := os.Lstat(filepath.Join(dir, file.Name)); !errors.Is(err, os.ErrNotExist) {
			return misused(fmt.Errorf("%s is there already; choose another directory with --output", filepath.Join(dir, file.Name)))
		}
	}
	for _, file := range files {
		mode := os.FileMode(0o644)
		if file.Name == importer.VariablesFile {
			mode = 0o600
		}
		path := filepath.Join(dir, file.Name)
		if err := os.WriteFile(path, []byte(file.Text), mode); err != nil {
			return fmt.Errorf("writing the fleet: %w", err)
		}
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), "wrote "+path)
	}
	return nil
}
