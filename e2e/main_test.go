package e2e

import (
	"fmt"
	"os"
	"testing"

	"wsplice/e2e/internal/rig"
)

// roles are what this binary plays when it is started again as a helper.
var roles = map[string]func() rig.Role{
	"coder server": newCoderServerRole,
	"echo server":  newEchoServerRole,
	"flooder":      newFlooderRole,
	"many clients": newManyClientsRole,
	"pipe eater":   newPipeEaterRole,
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == spawnedArgument {
		playSpawned(os.Args[2:])
	}
	if len(os.Args) == 4 && os.Args[1] == mortalArgument {
		playMortal(os.Args[2], os.Args[3])
	}
	rig.RunRole(roles)
	os.Exit(testMain(m))
}

// testMain prepares what every test needs. The tests that only try the rig
// and the peers against nginx run without a binary.
func testMain(m *testing.M) int {
	defer stopNode()
	rig.TrustCertificates()
	defer rig.RemoveCertificates()
	if nginxInstead() {
		return m.Run()
	}
	cleanup, err := rig.Build()
	defer cleanup()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// nginxInstead reports whether nginx stands in for wsplice. Then only the
// interop tests run, and a failure is a bug of the tests or of the libraries.
func nginxInstead() bool { return os.Getenv("WSPLICE_E2E_PROXY") == "nginx" }
