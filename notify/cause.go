package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// explain says in words why there was no answer. It never shows the address, which may hold a secret.
func explain(err error) string {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "DNS: there is no host of the name " + dns.Name
	case errors.As(err, &dns):
		return "DNS: the name " + dns.Name + " could not be looked up"
	case errors.As(err, &authority):
		return "TLS: the receiver's certificate is signed by nobody whom this system trusts: name its authority under trust"
	case errors.As(err, &name):
		return "TLS: the receiver's certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "TLS: the receiver's certificate has expired, or is not valid yet"
	case errors.As(err, &verification):
		return "TLS: the receiver's certificate is not valid"
	case errors.As(err, &alert):
		return "TLS: the receiver refused the connection: " + alert.Error()
	case errors.As(err, &record):
		return "TLS: the receiver does not speak TLS at that port"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the receiver refuses connections: nothing listens there"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fmt.Sprintf("time-out: no answer within %s", sendTimeout)
	case errors.Is(err, context.Canceled):
		return "the gateway is stopping"
	}
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	return "no answer: " + err.Error()
}

func isTimeout(err error) bool {
	var timed net.Error
	return errors.As(err, &timed) && timed.Timeout()
}

// explainStatus says in words what an answer that is no success means.
func explainStatus(status int) string {
	text := fmt.Sprintf("HTTP %d", status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return text + ": the receiver does not take the signature: compare the secrets, and the clocks"
	case status == http.StatusNotFound:
		return text + ": nothing takes messages at that path"
	case status == http.StatusGone:
		return text + ": the receiver wants no more messages"
	case status == http.StatusTooManyRequests:
		return text + ": the receiver takes no more for now"
	case status >= 300 && status < 400:
		return text + ": redirects are not followed: configure the address that it points to"
	case status >= 500:
		return text + ": the receiver failed"
	}
	return text + ": the receiver did not take the message"
}
