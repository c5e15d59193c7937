package importer

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A reader is one of the formats, with the folder of its configurations.
type reader struct {
	folder string
	read   func(name string, data []byte, o Options) (*Result, error)
}

var readers = map[string]reader{
	"apache":   {"testdata", Apache},
	"lighttpd": {"testdata/lighttpd", Lighttpd},
}

// TestGolden compares each configuration with the YAML that is expected of it,
// and with what is said on stderr.
func TestGolden(t *testing.T) {
	for format, r := range readers {
		confs, err := filepath.Glob(r.folder + "/*.conf")
		if err != nil || len(confs) == 0 {
			t.Fatalf("%s: no configurations: %v", format, err)
		}
		for _, conf := range confs {
			base := strings.TrimSuffix(conf, ".conf")
			t.Run(format+"/"+filepath.Base(base), func(t *testing.T) {
				result := importFile(t, r, conf)
				var report strings.Builder
				for _, n := range result.Notes {
					fmt.Fprintln(&report, n)
				}
				golden(t, base+".yaml", string(result.YAML))
				golden(t, base+".report", report.String())
			})
		}
	}
}

func importFile(t *testing.T, r reader, conf string) *Result {
	t.Helper()
	data, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.read(conf, data, Options{Files: Disk{}, Defines: map[string]string{"APACHE_LOG_DIR": "/var/log/apache2"}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./importer -update writes it anew):\n%s", file, firstDifference(string(want), got))
	}
}

// firstDifference returns the first line in which two texts differ.
func firstDifference(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wants), len(gots)) {
		w, g := "(nothing)", "(nothing)"
		if i < len(wants) {
			w = wants[i]
		}
		if i < len(gots) {
			g = gots[i]
		}
		if w != g {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, w, g)
		}
	}
	return "nothing"
}
