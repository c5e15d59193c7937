package configs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"strings"
)

// A TLS says how a listener ends TLS.
type TLS struct {
	Certificates []KeyPair // chosen by SNI; the first where none fits
	ClientCA     string    // PEM file; "" = clients are not asked for certificates
	MinVersion   string    // "1.2" (default) or "1.3"
	HTTP2        bool      // offered beside HTTP/1.1; default true

	// Fields of requests that tell a backend of the client's certificate; "" = none.
	SubjectHeader     string
	FingerprintHeader string
}

// A KeyPair names the PEM files of a certificate, with its chain, and of its key.
// They are absolute or relative to the working directory.
type KeyPair struct{ Cert, Key string }

// listenerTLS reads `listeners[].tls`.
func (d *decoder) listenerTLS(n *node) *TLS {
	t := &TLS{MinVersion: "1.2", HTTP2: true}
	ok := d.mapping(n, map[string]decode{
		"certificates":       func(n *node) { d.certificates(n, t) },
		"client_ca":          func(n *node) { d.certificateFile(n, &t.ClientCA) },
		"http2":              d.boolean(&t.HTTP2),
		"kernel":             d.later(isText("off"), ""),
		"min_version":        d.enum(&t.MinVersion, []string{"1.2", "1.3"}),
		"subject_header":     d.fieldName(&t.SubjectHeader),
		"fingerprint_header": d.fieldName(&t.FingerprintHeader),
	})
	if ok && n.get("certificates") == nil {
		d.wrong(n, "has no certificates; add `certificates: [{cert: FILE, key: FILE}]`")
	}
	for _, key := range []string{"subject_header", "fingerprint_header"} {
		if given := n.get(key); given != nil && n.get("client_ca") == nil {
			d.wrong(given, "has nothing to tell: clients are asked for certificates only with client_ca; add it")
		}
	}
	return t
}

func (d *decoder) certificates(n *node, t *TLS) {
	ok := d.list(n, certificatesMax, func(n *node) {
		var pair KeyPair
		if d.keyPair(n, &pair) {
			t.Certificates = append(t.Certificates, pair)
		}
	})
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; add at least one, such as `- {cert: FILE, key: FILE}`")
	}
}

// keyPair reads the names of two files that belong together.
func (d *decoder) keyPair(n *node, to *KeyPair) bool {
	ok := d.mapping(n, map[string]decode{"cert": d.filePath(&to.Cert), "key": d.filePath(&to.Key)})
	return ok && d.loadPair(n, to)
}

// loadPair tries the files that n names.
func (d *decoder) loadPair(n *node, to *KeyPair) bool {
	if to.Cert == "" || to.Key == "" {
		if n.get("cert") == nil || n.get("key") == nil {
			d.wrong(n, "must name both files: {cert: FILE, key: FILE}")
		}
		return false
	}
	if _, err := tls.LoadX509KeyPair(to.Cert, to.Key); err != nil {
		d.wrong(n, "%v; both must be PEM files, the certificate before those that signed it", err)
		return false
	}
	return true
}

// backendTLS reads `upstreams.*.tls`.
func (d *decoder) backendTLS(n *node) *BackendTLS {
	t := &BackendTLS{}
	var client KeyPair
	d.mapping(n, map[string]decode{
		"ca":          func(n *node) { d.certificateFile(n, &t.CA) },
		"server_name": func(n *node) { d.serverName(n, &t.ServerName) },
		"insecure":    d.boolean(&t.Insecure),
		"cert":        d.filePath(&client.Cert),
		"key":         d.filePath(&client.Key),
	})
	if n.get("cert") != nil || n.get("key") != nil {
		if d.loadPair(n, &client) {
			t.Client = &client
		}
	}
	if t.Insecure {
		insecure := n.get("insecure")
		if n.get("ca") != nil {
			d.wrong(insecure, "takes any certificate, so ca means nothing; remove one of them")
		}
		d.warn(insecure.Pos, "%s: whoever can answer in the server's place is taken for it", insecure.path())
	}
	return t
}

// serverName takes a host name; "" is that of the URL.
func (d *decoder) serverName(n *node, to *string) {
	if isText("")(n) {
		return
	}
	if s, ok := d.text(n); ok {
		if *to = strings.ToLower(s); !validHost(*to) {
			d.wrong(n, "must be a host name, but this is %s", quote(s))
		}
	}
}

// upstreamTLS has tcp:// servers spoken to by TLS, whose url has no other way to say
// that, and reports what TLS has no use for.
func (d *decoder) upstreamTLS(n *node, u *Upstream) {
	given := n.get("tls")
	if given == nil {
		return
	}
	for i := range u.Servers {
		t := &u.Servers[i].Target
		t.Secured = t.Scheme == "tcp"
	}
	secured := func(s Server) bool { return s.Target.TLS() }
	if len(u.Servers) > 0 && !slices.ContainsFunc(u.Servers, secured) {
		d.wrong(given, "no server is spoken to by TLS; write wss:// instead of ws:// in its url, or remove tls")
	}
}

// certificateFile reads the name of a PEM file with at least one certificate.
func (d *decoder) certificateFile(n *node, to *string) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	path := d.resolve(s)
	pem, err := os.ReadFile(path)
	switch {
	case err != nil:
		d.wrong(n, "%v", err)
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		d.wrong(n, "%s holds no PEM certificate", path)
	default:
		*to = path
	}
}

// filePath reads the name of a file.
func (d *decoder) filePath(to *string) decode {
	return func(n *node) {
		if s, ok := d.text(n); ok {
			*to = d.resolve(s)
		}
	}
}

// fieldName reads the name of a header field.
func (d *decoder) fieldName(to *string) decode {
	return func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		if err := checkName(s); err != nil {
			d.wrong(n, "%v", err)
		} else if setByUs(strings.ToLower(s)) {
			d.wrong(n, "%s is written by wsplice; take another name, such as X-Client-Subject", quote(s))
		} else {
			*to = s
		}
	}
}
