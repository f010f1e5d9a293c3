// Package processes asks running processes how their workers are.
package processes

// The ports of localhost on which processes serve /status where nobody names one. No
// worker's file uses them.
const (
	FirstPort = 7780
	LastPort  = 7879
)
