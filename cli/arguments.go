package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"switchboard/operate"
)

// explainArguments lets every command below cmd answer arguments it cannot take
// with how it is written, and as a misuse.
func explainArguments(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	for _, child := range cmd.Commands() {
		explainArguments(child)
	}
	check := cmd.Args
	if cmd.HasSubCommands() {
		check = noSuchCommand
	}
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if wrong := (operate.Misuse{}); err == nil || errors.As(err, &wrong) {
			return err
		}
		return misused(fmt.Errorf("%w; write %s", err, cmd.UseLine()))
	}
}

// noSuchCommand refuses what is none of a command's own commands.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("; `%s --help` lists them", cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return misused(fmt.Errorf("unknown command %q%s", cmd.CommandPath()+" "+args[0], hint))
}
