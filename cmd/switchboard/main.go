// Command switchboard is the whole product in one binary. This file is the list
// of classes the binary knows and nothing else: to add classes of your own, copy
// it into your module and add lines.
package main

import (
	"os"

	"switchboard/applications"
	"switchboard/applications/echo"
	"switchboard/applications/guess"
	"switchboard/cli"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/middleware"
	"switchboard/routers"
	"switchboard/transports"
	"switchboard/transports/telnet"
	"switchboard/worker"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(cli.Main(version, classes())) }

func classes() fleet.Classes {
	return fleet.Classes{
		Routers: map[string]fleet.Class[dispatcher.Router]{
			"simple": {
				New:   func() dispatcher.Router { return routers.NewSimple() },
				Vumi:  []string{"vumi.dispatchers.SimpleDispatchRouter", "vumi.dispatchers.base.SimpleDispatchRouter"},
				About: "each transport's messages go to the names mapped to it, messages out to their transport",
			},
		},
		Transports: map[string]fleet.Class[transports.Transport]{
			"telnet": {
				New:   func() transports.Transport { return telnet.New() },
				Vumi:  []string{"vumi.transports.telnet.TelnetServerTransport", "vumi.transports.telnet.AddressedTelnetServerTransport"},
				About: "people type to it with telnet or nc",
			},
		},
		Applications: map[string]fleet.Class[applications.Application]{
			"echo": {
				New:   func() applications.Application { return echo.New() },
				Vumi:  []string{"vumi.demos.words.EchoWorker", "vumi.workers.vas2nets.EchoWorker"},
				About: "answers with what it was told",
			},
			"guess": {
				New:   func() applications.Application { return guess.New() },
				About: "a game: guess the number",
			},
		},
		Middleware: map[string]fleet.Class[worker.Middleware]{
			"logging": {
				New:   func() worker.Middleware { return middleware.NewLogging() },
				Vumi:  []string{"vumi.middleware.LoggingMiddleware", "vumi.middleware.logging.LoggingMiddleware"},
				About: "logs each message that passes, its content only at debug",
			},
		},
	}
}
