package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"switchboard/options"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/worker/optouts"
)

func optOutsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "optouts",
		Short: "Look after the lists of people who sent STOP: list, add, remove, import, export",
		Long: `Look after the lists of the opt_out middleware: people who sent STOP, whom a
provider reported, or whom an operator has put there. They get nothing by any
channel that has the middleware. --transport says it in the record as well, for
broadcasts by that transport.`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(listOptOuts(),
		changeOptOuts("add ADDRESS…", "Put people on a list", true),
		changeOptOuts("remove ADDRESS…", "Take people off a list, as START does", false),
		importOptOuts(), exportOptOuts())
	return cmd
}

// optOutFlags say which list.
type optOutFlags struct {
	databaseFlag
	list, country string
	our           string
	isNew         bool
	transports    []string
}

func (f *optOutFlags) add(cmd *cobra.Command, changes bool) {
	f.databaseFlag.add(cmd)
	cmd.Flags().StringVar(&f.list, "list", defaultList, "the list, as the middleware's file names it")
	cmd.Flags().StringVar(&f.country, "country", "", "whose national numbers these are, such as ZA; as the middleware's file has it")
	if changes {
		cmd.Flags().StringVar(&f.our, "our", "", "our own address that it is about, of a list that has per_address")
		cmd.Flags().StringSliceVar(&f.transports, "transport", nil, "transports whose broadcasts it concerns, too")
		cmd.Flags().BoolVar(&f.isNew, "new", false, "begin the list, where nobody is on it yet")
	}
}

func (f *optOutFlags) with(cmd *cobra.Command, do func(*optouts.List, store.People) error) error {
	return f.databaseFlag.with(cmd.Context(), func(db store.Database) error {
		list, err := optouts.Open(db, f.list, f.country)
		if err != nil {
			return misused(err)
		}
		if err := f.checkNames(cmd.Context(), list, db); err != nil {
			return err
		}
		return do(list.For(f.our), db)
	})
}

// perAddressHeader begins a file of a list per address: then the second column is our own.
const perAddressHeader = "address,our_address"

// defaultList is the one of a middleware that names none.
const defaultList = "default"

// checkNames refuses a list that nobody is on, and transports that are not recorded.
func (f *optOutFlags) checkNames(ctx context.Context, list *optouts.List, db store.Database) error {
	if f.list != defaultList && !f.isNew {
		empty, err := list.Empty(ctx)
		if err != nil {
			return err
		}
		if empty {
			return misused(fmt.Errorf("--list: nobody is on a list %q; `optouts add --new` begins it", f.list))
		}
	}
	known, err := persistence.ReadRecorded(ctx, db)
	if err != nil {
		return err
	}
	for _, name := range f.transports {
		if !slices.Contains(known.Transports, name) {
			return misused(fmt.Errorf("--transport: no persistence worker records a transport %q%s", name, options.DidYouMean(name, known.Transports)))
		}
	}
	return nil
}

// change puts one address on the list or takes it off, and records it for
// broadcasts.
func (f *optOutFlags) change(ctx context.Context, list *optouts.List, people store.People, address string, out bool) error {
	var err error
	if out {
		err = list.Add(ctx, optouts.Operator, address)
	} else {
		err = list.Remove(ctx, address)
	}
	if err != nil {
		return err
	}
	for _, transport := range f.transports {
		for _, identity := range list.Spellings(address) {
			if err := people.OptOut(ctx, store.Address{Backend: transport, Identity: identity}, out); err != nil {
				return fmt.Errorf("recording who wants broadcasts: %w", err)
			}
		}
	}
	return nil
}

func listOptOuts() *cobra.Command {
	var flags optOutFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List who is on a list, and why", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, func(list *optouts.List, _ store.People) error {
				if asJSON {
					all := []optouts.Entry{}
					err := list.Each(cmd.Context(), func(e optouts.Entry) error {
						all = append(all, e)
						return nil
					})
					return errors.Join(err, printJSON(cmd, all))
				}
				forPeople(cmd)
				table := newTable(cmd.OutOrStdout())
				_, _ = fmt.Fprintln(table, "ADDRESS\tOUR ADDRESS\tWHY")
				err := list.Each(cmd.Context(), func(e optouts.Entry) error {
					_, err := fmt.Fprintf(table, "%s\t%s\t%s\n", cell(e.Address), cell(e.Our), cell(e.Why))
					return err
				})
				return errors.Join(err, table.Flush())
			})
		},
	}
	flags.add(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func changeOptOuts(use, short string, out bool) *cobra.Command {
	var flags optOutFlags
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error { return misused(cobra.MinimumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd, func(list *optouts.List, people store.People) error {
				for _, address := range args {
					if err := flags.change(cmd.Context(), list, people, address, out); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	flags.add(cmd, true)
	return cmd
}

func importOptOuts() *cobra.Command {
	var flags optOutFlags
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Put everybody in a file on a list: an address a line, or the first column of CSV; - is standard input",
		Long: `Put everybody in a file on a list: an address a line, or the first column of CSV; - is
standard input. Where the first line is address,our_address, as export writes it of a
list that has per_address, the second column is our own address.`,
		Args: func(cmd *cobra.Command, args []string) error { return misused(cobra.ExactArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			var in io.Reader = cmd.InOrStdin()
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return misused(err)
				}
				defer func() { _ = file.Close() }()
				in = file
			}
			return flags.with(cmd, func(list *optouts.List, people store.People) error {
				n, perAddress := 0, false
				lines := bufio.NewScanner(in)
				for lines.Scan() {
					address, rest, _ := strings.Cut(lines.Text(), ",")
					if address = strings.Trim(address, " \t\r\""); address == "" || address == "address" {
						perAddress = perAddress || lines.Text() == perAddressHeader
						continue
					}
					of := list
					if perAddress {
						of = list.For(rest)
					}
					if err := flags.change(cmd.Context(), of, people, address, true); err != nil {
						return fmt.Errorf("%s: %w; those before it are on the list", address, err)
					}
					n++
				}
				cmd.Printf("put %s on list %s\n", plural(n, "line"), flags.list)
				return lines.Err()
			})
		},
	}
	flags.add(cmd, true)
	return cmd
}

func exportOptOuts() *cobra.Command {
	var flags optOutFlags
	cmd := &cobra.Command{
		Use: "export", Short: "Write the addresses on a list, one a line, as import reads them; of a list per address with our own behind each", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, func(list *optouts.List, _ store.People) error {
				out, perAddress := forTerminal(cmd.OutOrStdout()), false
				return list.Each(cmd.Context(), func(e optouts.Entry) (err error) {
					if e.Our != "" && !perAddress {
						perAddress = true
						_, err = fmt.Fprintln(out, perAddressHeader)
					}
					line := e.Address
					if perAddress {
						line += "," + e.Our
					}
					_, printed := fmt.Fprintln(out, line)
					return errors.Join(err, printed)
				})
			})
		},
	}
	flags.add(cmd, false)
	return cmd
}
