package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// importedConfs are the configurations that the importer is tested with.
const importedConfs = "../importer/testdata"

// An importProbe is one request, and what must come of it: "NAME TARGET" as the
// backend says it, or "" where nothing may be proxied (an answer of 4xx).
type importProbe struct{ kind, host, target, want string }

// The kinds of probes: a WebSocket handshake with an echo, and a plain GET.
const (
	opens = "ws"
	gets  = "get"
)

// apart are probes in which Apache 2.4 does something else than its documents
// say or than is safe, so that wsplice answers alone. The key is "conf: kind
// target".
var apart = map[string]string{
	"reference-upgrade: ws /none/a": "upgrade=NONE has been broken since 2.4.47: every request gets 426",
}

// TestImportedApache sends the same requests to Apache with a configuration
// and to wsplice with what was imported of it. Both must reach the same
// backend with the same target, or refuse with the same class of status.
func TestImportedApache(t *testing.T) {
	needsWsplice(t)
	needsPlain(t)
	if !rig.HasApache() {
		missing(t, "needs Apache httpd: run bench/install-peers apache2")
	}
	for name, c := range importedApache {
		t.Run(name, func(t *testing.T) {
			conf := c.conf(t, name)
			apache := startApache(t, conf)
			for _, p := range c.probes {
				if reason := apart[name+": "+p.kind+" "+p.target]; reason != "" {
					continue
				}
				if got := p.send(t, apache); got != p.want {
					t.Errorf("Apache: %s %s %s reaches %q, want %q", p.kind, p.host, p.target, got, p.want)
				}
			}
			proxy := startImported(t, "apache", conf)
			for _, p := range c.probes {
				if got := p.send(t, proxy); got != p.want {
					t.Errorf("wsplice: %s %s %s reaches %q, want %q", p.kind, p.host, p.target, got, p.want)
				}
			}
		})
	}
}

// conf returns the configuration with its backends replaced by some of the
// test, each of which tells its name and what it was asked for.
func (c importedConf) conf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(importedConfs, name+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for address, backend := range c.backends {
		if !strings.Contains(string(text), address) {
			t.Fatalf("%s.conf has no %s", name, address)
		}
		ours := tellingBackend(t, backend).Addr()
		if _, unix := strings.CutPrefix(address, "unix:"); unix {
			pairs = append(pairs, address, "http://"+ours)
			continue
		}
		pairs = append(pairs, address, hostPortIn.ReplaceAllString(address, ours))
	}
	return strings.NewReplacer(pairs...).Replace(string(text))
}

// hostPortIn finds what to replace in a piece of a configuration.
var hostPortIn = regexp.MustCompile(`[a-z0-9.-]+\.[a-z0-9.-]+(:[0-9]+)?|localhost(:[0-9]+)?`)

// tellingBackend answers "NAME TARGET": in the body, or in the first frame of
// a WebSocket, whose messages it then sends back.
func tellingBackend(t *testing.T, name string) *rig.Backend {
	return rig.NewBackend(t, func(c *rig.BackendConn) {
		if c.ReadHead() != nil {
			return
		}
		text := name + " " + c.Head.Target
		if c.Head.Get("Upgrade") == "" {
			_ = c.Answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
			return
		}
		if c.Upgrade() != nil || c.Answer(serverFrame(text)) != nil {
			return
		}
		for {
			message, err := readClientFrame(c.R)
			if err != nil || c.Answer(serverFrame(message)) != nil {
				return
			}
		}
	})
}

// serverFrame returns a text message as a server sends it.
func serverFrame(text string) string { return string([]byte{0x81, byte(len(text))}) + text }

// readClientFrame reads a short masked frame.
func readClientFrame(r *bufio.Reader) (string, error) {
	head := make([]byte, 6)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	if head[0] != 0x81 {
		return "", io.EOF // a Close frame, or nothing that this test sends
	}
	payload := make([]byte, head[1]&0x7f)
	_, err := io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= head[2+i%4]
	}
	return string(payload), err
}

// send sends the request and returns what it reached, or "" for an answer of
// 4xx and the status line for any other.
func (p importProbe) send(t *testing.T, address string) string {
	t.Helper()
	client := rig.Dial(t, address)
	defer func() { _ = client.Close() }()
	if p.kind == gets {
		client.Put("GET " + p.target + " HTTP/1.1\r\nHost: " + p.host + "\r\nConnection: close\r\n\r\n")
	} else {
		client.Put(strings.Replace(rig.UpgradeRequest(p.target), "Host: example.test", "Host: "+p.host, 1))
	}
	a := client.Answer()
	switch {
	case a.Status >= 400 && a.Status < 500:
		return ""
	case p.kind == gets && a.Status == 200:
		return a.Body
	case p.kind == opens && a.Status == 200:
		return "as HTTP: " + a.Body
	case p.kind == opens && a.Status == 101:
		told := readServerFrame(t, client)
		client.Put(textFrame("echo"))
		if got := readServerFrame(t, client); got != "echo" {
			t.Errorf("%s: the echo is %q", p.target, got)
		}
		return told
	}
	line, _, _ := strings.Cut(a.Raw, "\r\n")
	return line
}

func readServerFrame(t *testing.T, c *rig.Client) string {
	t.Helper()
	head := make([]byte, 2)
	readFull(t, c, head)
	payload := make([]byte, head[1]&0x7f)
	readFull(t, c, payload)
	return string(payload)
}

func readFull(t *testing.T, c *rig.Client, b []byte) {
	t.Helper()
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("read a frame: %v", err)
	}
}

// notInApache are lines that the Apache of this test cannot or shall not obey:
// TLS, passwords and addresses that clients of a test do not have, and what
// only the development version knows.
var notInApache = regexp.MustCompile(
	`(?im)^[ \t]*(SSL\w+|Auth\w+|Require (valid-user|ip)|ProxyWebsocketAsync\w*|ProxyWebsocketIdleTimeout)\b.*$`)

var (
	listenLine = regexp.MustCompile(`(?m)^([ \t]*Listen )(\S*?)([0-9]+)$`)
	hostPort   = regexp.MustCompile(`(<VirtualHost [^>]*:)([0-9]+)>`)
)

// startApache starts Apache on free ports and returns the address where the
// application is: that of port 443 of the configuration, or else of 80.
func startApache(t *testing.T, conf string) string {
	t.Helper()
	ports := map[string]string{}
	free := func(port string) string {
		if ports[port] == "" {
			ports[port] = strings.TrimPrefix(rig.FreeAddress(t), "127.0.0.1:")
		}
		return ports[port]
	}
	application := "80"
	if strings.Contains(conf, ":443>") {
		application = "443"
	}
	conf = notInApache.ReplaceAllString(conf, "# not in this test")
	listens := listenLine.MatchString(conf)
	conf = hostPort.ReplaceAllStringFunc(conf, func(line string) string {
		m := hostPort.FindStringSubmatch(line)
		return m[1] + free(m[2]) + ">"
	})
	conf = listenLine.ReplaceAllStringFunc(conf, func(line string) string {
		m := listenLine.FindStringSubmatch(line)
		return m[1] + "127.0.0.1:" + free(m[3])
	})
	if !listens {
		conf = "Listen 127.0.0.1:" + free(application) + "\n" + conf
	}
	address := "127.0.0.1:" + free(application)
	rig.Apache(t, conf, address)
	return address
}

var listenerAddress = regexp.MustCompile(`(?m)^  - address: \S+`)

// needsPlain skips a test of what was imported, where WSPLICE_TLS asks for TLS.
func needsPlain(t *testing.T) {
	t.Helper()
	if rig.SecureClients() || rig.SecureBackends() {
		t.Skip("what is imported says itself who speaks TLS, as the servers do that it is compared with")
	}
}

// startImported imports a configuration and runs wsplice with the result, on free
// ports. It returns its address.
func startImported(t *testing.T, format, conf string) string {
	t.Helper()
	dir := rig.TempDir(t, 0)
	source, file := filepath.Join(dir, "source.conf"), filepath.Join(dir, "wsplice.yaml")
	if err := os.WriteFile(source, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	res := rig.Run(t, "import", format, source)
	if res.Code != 0 {
		t.Fatalf("import exits %d:\n%s\n%s", res.Code, res.Stderr, res.Stdout)
	}
	yaml := "log: {format: json}\nadmin: {address: \"\"}\nengine: " + rig.Engine() + "\n" +
		listenerAddress.ReplaceAllString(res.Stdout, `  - address: "127.0.0.1:0"`)
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	proxy := rig.StartCommand(t, func(l rig.Line) bool { return l.Msg() == "ready" }, "run", "--config", file)
	return proxy.Addr(0)
}
