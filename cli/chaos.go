package cli

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/operate/chaos"
)

const (
	defaultChaos         = time.Minute
	defaultChaosRate     = 50
	defaultChaosPatience = 5 * time.Minute
)

// attacking is `switchboard chaos`.
type attacking struct {
	database databaseFlag
	settings chaos.Settings
	plan     bool
	asJSON   bool
}

func chaosCommand(classes fleet.Classes) *cobra.Command {
	a := &attacking{settings: chaos.Settings{Classes: classes}}
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Attack a fleet of test processes, and account for every message",
		Long: `Run two transports, two dispatchers, two applications and two persistence workers as
processes of their own, on a RabbitMQ and a PostgreSQL that are for tests. People write to them
by two simulated SMSCs, while processes are killed, paused and restarted, their links are cut,
half-open or slow, files are reloaded and poison is published. Then everything is mended, and
every message must be answered and recorded. Queues whose names begin with chaos_ are deleted.

The servers themselves are stopped, killed and put under alarm too when --services names
scripts/services, or a program with its commands, that started them:

  scripts/services run --private switchboard chaos

A seed names a plan: the same seed, duration and servers strike the same. What else happens on
the machine is not the seed's, so a rare failure may need several runs.

The exit code is 1 when a promise was broken.`,
		Example: "  switchboard chaos --duration 10m --queue-type quorum\n  switchboard chaos --seed 7 --plan",
		Args:    func(cmd *cobra.Command, args []string) error { return misused(cobra.NoArgs(cmd, args)) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.run(cmd) },
	}
	a.database.add(cmd)
	flags := cmd.Flags()
	s := &a.settings
	flags.StringVar(&s.AMQPURL, "amqp-url", env("AMQP_URL", defaultAMQP), "a RabbitMQ for tests (AMQP_URL)")
	flags.Lookup("amqp-url").DefValue = "" // it may hold a password
	flags.Uint64Var(&s.Seed, "seed", 0, "the plan's; one is drawn when it is 0")
	flags.DurationVar(&s.Duration, "duration", defaultChaos, "how long faults begin and people write")
	flags.DurationVar(&s.Patience, "patience", defaultChaosPatience, "how long the fleet may take to finish afterwards")
	flags.IntVar(&s.Rate, "rate", defaultChaosRate, "messages a second that people write")
	flags.StringVar(&s.QueueType, "queue-type", "classic", "classic or quorum")
	complete(cmd, "queue-type", "classic", "quorum")
	flags.StringVar(&s.Services, "services", servicesProgram(), "the program that stops and starts the servers (SERVICES, where it started them)")
	flags.StringVar(&s.Dir, "dir", "", "where files and logs are kept; a temporary directory, which is removed, when empty")
	flags.BoolVar(&a.plan, "plan", false, "print the plan and do nothing")
	flags.BoolVar(&a.asJSON, "json", false, "print JSON")
	return cmd
}

// servicesProgram is scripts/services, where the servers in the environment are its own.
func servicesProgram() string {
	for _, server := range [...]string{"SERVICES_RABBITMQ", "SERVICES_POSTGRES"} {
		if os.Getenv(server) != "private" {
			return ""
		}
	}
	return os.Getenv("SERVICES")
}

func (a *attacking) check() error {
	s := &a.settings
	switch {
	case s.Duration <= 0 || s.Patience <= 0:
		return fmt.Errorf("--duration and --patience must be above 0")
	case s.Rate < 1:
		return fmt.Errorf("--rate must be at least 1")
	case s.QueueType != "classic" && s.QueueType != "quorum":
		return fmt.Errorf("--queue-type is %q; write classic or quorum", s.QueueType)
	case !a.plan && a.database.url == "":
		return fmt.Errorf("no database: set DATABASE_URL or --database-url to postgres://…, one for tests")
	}
	if s.Services != "" {
		if _, err := exec.LookPath(s.Services); err != nil {
			return fmt.Errorf("--services: %w; name scripts/services, or leave the servers alone with --services ''", err)
		}
	}
	return nil
}

func (a *attacking) run(cmd *cobra.Command) (err error) {
	s := &a.settings
	if err := a.check(); err != nil {
		return misused(err)
	}
	if s.Seed == 0 {
		s.Seed = uint64(rand.Uint32())
	}
	plan := chaos.Plan(s.Seed, s.Duration, s.Services != "")
	again := fmt.Sprintf("%s --seed %d --duration %s --rate %d --queue-type %s", cmd.CommandPath(), s.Seed, s.Duration, s.Rate, s.QueueType)
	if a.plan {
		return a.printPlan(cmd, plan)
	}
	s.Say = func(line string) { cmd.PrintErrln(line) }
	s.Say(again)
	if s.Program, err = os.Executable(); err != nil {
		return err
	}
	s.DatabaseURL = a.database.url
	if s.Dir == "" {
		if s.Dir, err = os.MkdirTemp("", "switchboard-chaos-"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				_ = os.RemoveAll(s.Dir)
			}
		}()
	}
	result, err := chaos.Run(cmd.Context(), *s)
	return a.report(cmd, result, err, again)
}

// report prints what a run found, where it found something. The error is the run's own, and names
// the promises that were broken.
func (a *attacking) report(cmd *cobra.Command, result *chaos.Result, err error, again string) error {
	if result == nil {
		return err
	}
	if a.asJSON {
		err = errors.Join(err, printJSON(cmd, result))
	} else {
		printChaos(cmd, result)
	}
	if failed := result.Failed(); len(failed) > 0 {
		err = errors.Join(fmt.Errorf("%s\nagain: %s\nlogs: %s", strings.Join(failed, "\n"), again, a.settings.Dir), err)
	}
	return err
}

func (a *attacking) printPlan(cmd *cobra.Command, plan []chaos.Event) error {
	if a.asJSON {
		return printJSON(cmd, plan)
	}
	for _, e := range plan {
		cmd.Println(e)
	}
	return nil
}

func printChaos(cmd *cobra.Command, r *chaos.Result) {
	table := newTable(cmd.OutOrStdout())
	row := func(what, is string) { _, _ = fmt.Fprintf(table, "%s\t%s\n", what, is) }
	row("seed", fmt.Sprint(r.Seed))
	row("queues", r.QueueType)
	total := 0
	for _, kind := range r.Kinds() {
		total += r.Faults[kind]
	}
	row("faults", fmt.Sprint(total))
	for _, kind := range r.Kinds() {
		row("  "+string(kind), fmt.Sprint(r.Faults[kind]))
	}
	if !r.Servers {
		row("  of servers", "none: --services names no program that started them")
	}
	row("messages accepted", fmt.Sprint(r.Accepted))
	row("lost", fmt.Sprint(len(r.Lost)))
	row("answered again", fmt.Sprintf("%d (at most %d were in flight)", r.Again, r.Bound))
	row("poison", fmt.Sprintf("%d, dead letters %d", r.Poison, r.Dead))
	row("other dead letters", fmt.Sprint(len(r.OtherDead)))
	var states []string
	for _, state := range slices.Sorted(maps.Keys(r.Recorded)) {
		states = append(states, fmt.Sprintf("%d %s", r.Recorded[state], state))
	}
	row("recorded", strings.Join(states, ", "))
	row("audit", fmt.Sprintf("%d missing, %d stuck, %d orphaned", r.Missing, r.Stuck, r.Orphan))
	row("all done after", r.Drained.String())
	_ = table.Flush()
	for _, other := range r.OtherDead {
		cmd.PrintErrln(printableLines(other))
	}
}
