// Package e2e tests the built program as operators run it: separate processes
// on a RabbitMQ and a PostgreSQL of the test's own, that are killed, stopped and
// started under it.
package e2e
