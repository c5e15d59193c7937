package e2e

import (
	"errors"
	"os"
	"testing"
)

// errMissing marks what the machine lacks, as opposed to what is broken.
var errMissing = errors.New("missing on this machine")

// missing skips a test that lacks something outside this project, which the
// text names. Where nothing may be lacking, as in CI, WSPLICE_E2E_REQUIRE=1
// makes it a failure.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("WSPLICE_E2E_REQUIRE") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
