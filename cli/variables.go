package cli

import (
	"fmt"
	"os"
	"strings"
)

// readFileVariables sets the variables that hold passwords from the files that
// NAME_FILE names, as containers' secrets are given. A variable of its own counts
// for more.
func readFileVariables() error {
	for _, name := range []string{"AMQP_URL", "DATABASE_URL", "RABBITMQ_MANAGEMENT_URL"} {
		file := os.Getenv(name + "_FILE")
		if file == "" || os.Getenv(name) != "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return misused(fmt.Errorf("%s_FILE: %w", name, err))
		}
		if err := os.Setenv(name, strings.TrimSpace(string(text))); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}
