package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	healthTimeout = 5 * time.Second
	healthAnswer  = 4 << 10 // bytes of the answer that are shown
)

func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health URL",
		Short: "Ask a process's /healthz or /readyz; for containers without a shell",
		Args:  func(cmd *cobra.Command, args []string) error { return misused(cobra.ExactArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			client := http.Client{Timeout: healthTimeout}
			answer, err := client.Get(args[0])
			if err != nil {
				return fmt.Errorf("asking for health: %w", err)
			}
			defer func() { _ = answer.Body.Close() }()
			text, _ := io.ReadAll(io.LimitReader(answer.Body, healthAnswer))
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answered %s: %s", args[0], answer.Status, strings.TrimSpace(string(text)))
			}
			cmd.Print(string(text))
			return nil
		},
	}
}
