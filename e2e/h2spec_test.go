package e2e

import (
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// h2specTool is built from the version that go.mod names.
const h2specTool = "github.com/summerwind/h2spec/cmd/h2spec"

// An h2specReport is what h2spec writes in the format of JUnit.
type h2specReport struct {
	Suites []struct {
		Name  string `xml:"name,attr"`
		Cases []struct {
			Package string `xml:"package,attr"`
			Name    string `xml:"classname,attr"`
			Failure *struct {
				Text string `xml:",innerxml"`
			} `xml:"failure"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// TestH2Spec has h2spec try an ordinary route: no case may fail, and none that it
// calls strict.
func TestH2Spec(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "h2spec")
	if out, err := exec.Command("go", "build", "-o", tool, h2specTool).CombinedOutput(); err != nil {
		missing(t, "build h2spec: %v\n%s", err, out)
	}
	backend := rig.NewBackend(t, func(c *rig.BackendConn) {
		for c.ReadHead() == nil {
			if c.Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello") != nil {
				return
			}
		}
	})
	proxy, _ := startH2(t, backend, rig.Config{
		Routes: fmt.Sprintf(`- {path: /, mode: http, to: "http://%s/"}`, backend.Addr()),
	})
	host, port, err := net.SplitHostPort(proxy.Addr(0))
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(dir, "report.xml")
	out, err := exec.Command(tool, "--tls", "--insecure", "--strict", "--host", host, "--port", port, "--path", "/",
		"--junit-report", report, "generic", "http2", "hpack").CombinedOutput()
	text, rerr := os.ReadFile(report)
	if rerr != nil {
		t.Fatalf("h2spec: %v, %v\n%s", err, rerr, out)
	}
	var r h2specReport
	if err = xml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, suite := range r.Suites {
		for _, c := range suite.Cases {
			switch {
			case c.Failure != nil:
				t.Errorf("%s %s: %s:\n%s", suite.Name, c.Package, c.Name, strings.TrimSpace(c.Failure.Text))
			case c.Skipped != nil:
				t.Errorf("%s %s: %s: it was skipped", suite.Name, c.Package, c.Name)
			default:
				passed++
			}
		}
	}
	const leastCases = 140
	if passed < leastCases {
		t.Errorf("%d cases passed, want at least %d", passed, leastCases)
	}
	t.Logf("%d cases passed", passed)
}
