package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"wsplice/e2e/internal/rig"
)

// nodeDir holds the programs for Node and what npm installs for them.
const nodeDir = "testdata/node"

// npmInstalled has npm install what package-lock.json says, if it has not yet.
var npmInstalled = sync.OnceValue(npmInstall)

func npmInstall() error {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: install %s (Debian packages nodejs and npm)", errMissing, tool)
		}
	}
	// npm writes down what it has installed.
	wanted, err := os.Stat(nodeDir + "/package-lock.json")
	if err != nil {
		return err
	}
	have, err := os.Stat(nodeDir + "/node_modules/.package-lock.json")
	if err == nil && have.ModTime().After(wanted.ModTime()) {
		return nil
	}
	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = nodeDir
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in e2e/%s: %w\n%s", nodeDir, err, out)
	}
	return nil
}

// needsNPM skips the test that cannot have what npm installs.
func needsNPM(t *testing.T) {
	t.Helper()
	err := npmInstalled()
	if errors.Is(err, errMissing) {
		missing(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runNode runs one of the programs to its end, which must be a good one, and
// returns what it prints.
func runNode(t *testing.T, program string, args ...string) string {
	t.Helper()
	needsNPM(t)
	ctx, cancel := context.WithTimeout(t.Context(), rig.Soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{program}, args...)...)
	var said strings.Builder
	cmd.Dir, cmd.Stderr = nodeDir, &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s: %v; it prints\n%s%s", program, err, out, said.String())
	}
	return string(out)
}
