// Command switchboard is the whole product in one binary. This file is the list
// of classes the binary knows and nothing else: to add classes of your own, copy
// it into your module and add lines.
package main

import (
	"os"

	"switchboard/applications"
	"switchboard/cli"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/middleware"
	"switchboard/routers"
	"switchboard/transports"
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
		Transports:   map[string]fleet.Class[transports.Transport]{},
		Applications: map[string]fleet.Class[applications.Application]{},
		Middleware: map[string]fleet.Class[worker.Middleware]{
			"logging": {
				New:   func() worker.Middleware { return middleware.NewLogging() },
				Vumi:  []string{"vumi.middleware.LoggingMiddleware", "vumi.middleware.logging.LoggingMiddleware"},
				About: "logs each message that passes, its content only at debug",
			},
		},
	}
}
