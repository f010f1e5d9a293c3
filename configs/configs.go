// Package configs holds the fleets that come with the program; the demo's is
// part of the binary.
package configs

import "embed"

// Files are the embedded fleets.
//
//go:embed demo/*.yaml
var Files embed.FS
