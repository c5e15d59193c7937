package secure

import (
	"crypto/tls"
	"fmt"
	"log/slog"
)

// A Backend makes the configuration of sessions to a server, whose keys are in
// files that may change.
type Backend struct {
	name  string
	base  *tls.Config
	files BackendFiles
	use   func(*tls.Config)
}

// BackendFiles says where the keys are.
type BackendFiles struct {
	CA     string   // "" = those of the system
	Client *KeyPair // ours, for servers that ask for one; nil = none
}

// NewBackend reads the files, and gives a copy of base with what is in them to use:
// now, and from whatever goroutine calls Reload. name is for the log.
func NewBackend(name string, base *tls.Config, files BackendFiles, use func(*tls.Config)) (*Backend, error) {
	b := &Backend{name: name, base: base, files: files, use: use}
	return b, b.Reload()
}

// Reload reads the files again. Sessions that exist stay as they are, and are not
// resumed: they stand for what the files said before. An error leaves everything as
// it is.
func (b *Backend) Reload() error {
	config := b.base.Clone()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	if b.files.CA != "" {
		pool, err := ReadCA(b.files.CA)
		if err != nil {
			return err
		}
		config.RootCAs = pool
	}
	if pair := b.files.Client; pair != nil {
		certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return fmt.Errorf("certificate %s with key %s: %w", pair.Cert, pair.Key, err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	b.use(config)
	return nil
}

// Paths names the files.
func (b *Backend) Paths() []string {
	var all []string
	if b.files.CA != "" {
		all = append(all, b.files.CA)
	}
	if pair := b.files.Client; pair != nil {
		all = append(all, pair.Cert, pair.Key)
	}
	return all
}

// About names the server.
func (b *Backend) About() slog.Attr { return slog.String("server", b.name) }
