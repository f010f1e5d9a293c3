// Package smsc simulates an SMSC, for development and for tests. It does what
// SMSCs do, at any speed, and on request all that they do wrong: it is what the
// SMPP transport is held against. It records what it gets, and counts.
package simulator
