// Package simulator simulates an SMSC, for development and for tests: it behaves
// as SMSCs do, at any speed, and on request with their faults. It records and counts
// what it gets.
package simulator
