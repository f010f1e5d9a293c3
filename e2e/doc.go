// Package e2e tests the built program as operators run it: separate processes on
// a RabbitMQ and a PostgreSQL of the test's own, which are killed, stopped and
// started under it. README.md lists what each test proves.
package e2e
