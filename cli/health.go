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
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !strings.Contains(args[0], "://") {
				return misused(fmt.Errorf("%q is no URL; write http://%[1]s", args[0]))
			}
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
