package main

import (
	"cmp"
	"crypto/tls"
	"net"
	"strings"

	"wsplice/configs"
	"wsplice/pool"
	"wsplice/secure"
)

// backend makes a server one that is spoken to by TLS, if its target says so, and
// watches the files for that. c may be nil.
func (s *secured) backend(server *pool.Server, t configs.Target, c *configs.BackendTLS) error {
	if !t.TLS() {
		return nil
	}
	if c == nil {
		c = &configs.BackendTLS{}
	}
	host, _, err := net.SplitHostPort(t.Address)
	if t.Network == "unix" {
		host, err = urlHost(t.Host), nil
	}
	if err != nil {
		return err
	}
	base := &tls.Config{
		ServerName: cmp.Or(c.ServerName, host), InsecureSkipVerify: c.Insecure, //nolint:gosec // asked for
		MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true,
	}
	if t.Scheme != "tcp" {
		base.NextProtos = []string{secure.ProtocolHTTP1}
	}
	files := secure.BackendFiles{CA: c.CA, Client: (*secure.KeyPair)(c.Client)}
	backend, err := secure.NewBackend(server.Name(), base, files, server.SetTLS)
	if err == nil {
		s.watcher.Watch(backend)
	}
	return err
}

// urlHost returns the host of a Host header's value.
func urlHost(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}
