// Package e2e tests the built program as operators run it: separate processes
// on a RabbitMQ and a PostgreSQL of the test's own, that are killed, stopped and
// started under it. The tests mostly wait, so they run side by side.
package e2e
