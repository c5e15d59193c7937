package configs

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"wsplice/internal/testutil"
)

// writePair writes a certificate that signs itself, and its key.
func writePair(t testing.TB, cert, key string) {
	t.Helper()
	certificate, _ := testutil.NewCertificate(t)
	testutil.WriteCertificate(t, certificate, cert, key)
}

func TestTLSIsRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	writePair(t, "dir/c.pem", "dir/k.pem")
	got := mustParse(t, `
listeners:
  - address: ":443"
    tls: {certificates: [{cert: c.pem, key: k.pem}], client_ca: c.pem, min_version: "1.3", subject_header: X-S}
routes:
  - {path: /, upstream: u}
  - {path: /a, to: "wss://A.test/x"}
  - {path: /b, to: "https://[::1]:8443"}
  - {path: /c, mode: endpoint, upstream: bytes}
  - {path: /d, mode: endpoint, upstream: plain}
upstreams:
  bytes: {servers: [{url: "tcp://b:1"}, {socket: /b}], tls: {server_name: c}}
  plain: {servers: [{url: "tcp://b:1"}]}
  u: {servers: [{url: "wss://b"}], tls: {ca: c.pem, server_name: B.test, cert: c.pem, key: k.pem}}
`)
	by := func(name string) Upstream {
		return got.Upstreams[slices.IndexFunc(got.Upstreams, func(u Upstream) bool { return u.Name == name })]
	}
	tls := func(s Server) bool { return s.Target.TLS() }
	pair := KeyPair{Cert: "dir/c.pem", Key: "dir/k.pem"}
	for what, both := range map[string][2]any{
		"listener": {got.Listeners[0].TLS, &TLS{
			Certificates: []KeyPair{pair}, ClientCA: "dir/c.pem", MinVersion: "1.3", HTTP2: true, SubjectHeader: "X-S",
		}},
		"upstream": {by("u").TLS, &BackendTLS{CA: "dir/c.pem", ServerName: "b.test", Client: &pair}},
		"server":   {by("u").Servers[0].Target.Address, "b:443"},
		"tcp":      {tls(by("bytes").Servers[0]), true},
		"socket":   {tls(by("bytes").Servers[1]), false},
		"plain":    {tls(by("plain").Servers[0]), false},
		"wss":      {*got.Routes[1].To, Target{Scheme: "wss", Network: "tcp", Address: "a.test:443", Host: "a.test", Path: "/x"}},
		"https":    {got.Routes[2].To.Host, "[::1]:8443"},
		"mode":     {got.Routes[2].Mode, "http"},
	} {
		if !reflect.DeepEqual(both[0], both[1]) {
			t.Errorf("%s: got %+v, want %+v", what, both[0], both[1])
		}
	}
}

func TestTLSErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	writePair(t, "c.pem", "k.pem")
	writePair(t, "other.pem", "ok.pem")
	if err := os.WriteFile("text.pem", []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener := func(tls string) string {
		return "listeners: [{address: \":1\", tls: " + tls + "}]\nroutes: [{path: /, to: \"ws://b\"}]\n"
	}
	upstream := func(url, tls string) string {
		return "listeners: [{address: \":1\"}]\nroutes: [{path: /, upstream: u}]\nupstreams: {u: {servers: [{url: \"" + url +
			"\"}], tls: " + tls + "}}\n"
	}
	const good = "certificates: [{cert: c.pem, key: k.pem}]"
	for text, want := range map[string]string{
		listener("{}"):                              "add `certificates: [{cert: FILE, key: FILE}]`",
		listener("{certificates: []}"):              "is empty; add at least one",
		listener("{certificates: [{cert: c.pem}]}"): "must name both files",

		listener("{certificates: [{cert: c.pem, key: ok.pem}]}"):   "private key does not match public key",
		listener("{certificates: [{cert: none.pem, key: k.pem}]}"): "no such file",
		listener("{certificates: [{cert: text.pem, key: k.pem}]}"): "failed to find any PEM data",

		listener("{" + good + ", client_ca: text.pem}"):                        "holds no PEM certificate",
		listener("{" + good + ", subject_header: X-S}"):                        "only with client_ca",
		listener("{" + good + `, min_version: "1.1"}`):                         "min_version",
		listener("{" + good + ", client_ca: c.pem, fingerprint_header: Host}"): "written by wsplice",

		upstream("ws://b", "{insecure: off}"):            "write wss:// instead of ws://",
		upstream("wss://b", "{insecure: on, ca: c.pem}"): "takes any certificate",
		upstream("wss://b", "{cert: c.pem}"):             "must name both files",
		upstream("wss://b", "{server_name: \"a b\"}"):    "must be a host name",
	} {
		_, _, err := Parse("f.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}
