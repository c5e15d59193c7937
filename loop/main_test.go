package loop

import (
	"testing"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }
