package procstat

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PSS returns the proportional set size of pids together, in bytes: pages of
// their own and their share of pages they have in common with others.
func PSS(pids ...int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		if err != nil {
			return 0, fmt.Errorf("procstat: read memory: %w", err)
		}
		kib, err := pssOf(b)
		if err != nil {
			return 0, fmt.Errorf("procstat: read memory of process %d: %w", pid, err)
		}
		sum += kib << 10
	}
	return sum, nil
}

func pssOf(rollup []byte) (kib int64, err error) {
	lines := bufio.NewScanner(bytes.NewReader(rollup))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no Pss line")
}
