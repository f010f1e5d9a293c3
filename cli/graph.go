package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/operate/graph"
)

func graphCommand(classes fleet.Classes) *cobra.Command {
	var format, theme, output string
	cmd := &cobra.Command{
		Use:   "graph FILE|DIR…",
		Short: "Draw a fleet as SVG, Mermaid or DOT",
		Long: `Draw a fleet: transports left, dispatchers in the middle, applications right, the
lines between them labelled with their connectors. What is not connected is red.`,
		Example: `  switchboard graph configs/production -o fleet.svg
  switchboard graph --format mermaid configs/production
  switchboard graph --format dot configs/production | dot -Tpdf -o fleet.pdf`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			classes.WithoutSecrets = true
			defs, err := classes.Load(args...)
			if err != nil {
				return misused(err)
			}
			draw, err := drawer(cmd, graph.New(defs), formatOf(format, output), graph.Theme(theme))
			if err != nil {
				return misused(err)
			}
			return drawTo(cmd, output, draw)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "svg, mermaid, dot or json; what the name of --output ends in, or svg")
	cmd.Flags().StringVar(&theme, "theme", "auto", "of SVG: light, dark, or auto, which is as its reader's screen")
	complete(cmd, "format", "svg", "mermaid", "dot", "json")
	complete(cmd, "theme", "auto", "light", "dark")
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write; standard output when empty")
	return cmd
}

func formatOf(format, output string) string {
	if format != "" {
		return format
	}
	switch ending := strings.TrimPrefix(filepath.Ext(output), "."); ending {
	case "":
		return "svg"
	case "mmd":
		return "mermaid"
	case "gv":
		return "dot"
	default:
		return ending
	}
}

func drawer(cmd *cobra.Command, g graph.Graph, format string, theme graph.Theme) (func(io.Writer) error, error) {
	if theme != graph.Auto && theme != graph.Light && theme != graph.Dark {
		return nil, fmt.Errorf("--theme is %q; write auto, light or dark", theme)
	}
	switch format {
	case "svg":
		return func(w io.Writer) error { return g.SVG(w, theme) }, nil
	case "mermaid":
		return g.Mermaid, nil
	case "dot":
		return g.DOT, nil
	case "json":
		return func(w io.Writer) error {
			cmd.SetOut(w)
			return printJSON(cmd, g)
		}, nil
	}
	return nil, fmt.Errorf("--format is %q; write svg, mermaid, dot or json", format)
}

func drawTo(cmd *cobra.Command, output string, draw func(io.Writer) error) error {
	if output == "" {
		return draw(cmd.OutOrStdout())
	}
	file, err := os.Create(output)
	if err != nil {
		return fmt.Errorf("writing the drawing: %w", err)
	}
	if err := draw(file); err != nil {
		_ = file.Close()
		return fmt.Errorf("writing the drawing: %w", err)
	}
	return file.Close()
}
