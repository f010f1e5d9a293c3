// Command plugins is Switchboard with a router, a transport and an application of an outside team.
package main

import (
	"os"
	"switchboard/applications"
	"switchboard/cli"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/transports"

	"example.org/plugins/byprefix"
	"example.org/plugins/clinic"
	"example.org/plugins/faq"
	"example.org/plugins/spool"
)

func main() {
	os.Exit(cli.Main("0.1", fleet.Classes{
		Routers:    map[string]fleet.Class[dispatcher.Router]{"by_prefix": {New: func() dispatcher.Router { return byprefix.New() }}},
		Transports: map[string]fleet.Class[transports.Transport]{"spool": {New: func() transports.Transport { return spool.New() }}},
		Applications: map[string]fleet.Class[applications.Application]{
			"clinic": {New: func() applications.Application { return clinic.New() }},
			"faq":    {New: func() applications.Application { return faq.New() }},
		},
	}))
}
