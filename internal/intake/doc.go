// Package intake makes signals of what sources of alerts send, and keeps them: it reads the formats (our own JSON, Prometheus
// Alertmanager's and Grafana's webhooks), and commits the signals of requests that come at the same time in one transaction.
//
// What cannot be a signal is refused by field, rule and value. Our own format is read strictly: a field that it does not have is refused
// by name. Others' formats are read as their systems write them: fields are passed over, and text that is too long is cut. All text is
// cleaned of what could write into a mail's header, a log or a terminal.
//
// It knows no HTTP, keys or rows: routes are api/rest's, and rows internal/store's.
package intake
