package secure

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wsplice/internal/testutil"
)

// What is in the files of a backend is used from the next look on, with no session
// from before. What is wrong changes nothing, and is in the log.
func TestBackendIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	pair := KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	first, _ := testutil.NewCertificate(t)
	testutil.WriteCertificate(t, first, pair.Cert, pair.Key)
	var log bytes.Buffer
	w := NewWatcher(slog.New(slog.NewTextHandler(&log, nil)))
	w.Close() // it looks when the test does
	var used []*tls.Config
	b, err := NewBackend("b.test:443", &tls.Config{ServerName: "b.test"}, BackendFiles{CA: pair.Cert, Client: &pair},
		func(c *tls.Config) { used = append(used, c) })
	if err != nil {
		t.Fatal(err)
	}
	w.Watch(b)
	w.Look()
	if len(used) != 1 || log.Len() > 0 {
		t.Fatalf("used %d configurations without a change; the log: %s", len(used), &log)
	}
	second, _ := testutil.NewCertificate(t)
	testutil.WriteCertificate(t, second, pair.Cert, pair.Key)
	w.Look()
	if len(used) != 2 {
		t.Fatalf("used %d configurations, want 2; the log: %s", len(used), &log)
	}
	trusted, err := ReadCA(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if got := used[1]; !bytes.Equal(got.Certificates[0].Certificate[0], second.Certificate[0]) ||
		!got.RootCAs.Equal(trusted) || got.ServerName != "b.test" {
		t.Error("the new configuration is not what the files say")
	}
	if used[0].ClientSessionCache == used[1].ClientSessionCache || used[1].ClientSessionCache == nil {
		t.Error("sessions of the old certificate are resumed")
	}
	for _, path := range []string{pair.Key, pair.Cert} {
		log.Reset()
		if err = os.WriteFile(path, []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.Look()
		w.Look() // says it once
		if text := log.String(); len(used) != 2 || strings.Count(text, "not reloaded") != 1 || !strings.Contains(text, path) ||
			!strings.Contains(text, "b.test:443") {
			t.Errorf("with a broken %s used %d configurations; the log: %s", path, len(used), text)
		}
	}
}
