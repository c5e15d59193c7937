package rig

import (
	"bytes"
	"testing"
)

// TestPatternDoesNotDependOnPieces fills a stream at once and in pieces.
func TestPatternDoesNotDependOnPieces(t *testing.T) {
	whole := make([]byte, 1000)
	Pattern(5).Fill(whole, 0)
	for size := 1; size < 40; size++ {
		pieces := make([]byte, len(whole))
		for i := 0; i < len(pieces); i += size {
			Pattern(5).Fill(pieces[i:min(i+size, len(pieces))], int64(i))
		}
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("pieces of %d bytes differ from the whole", size)
		}
	}
}

// TestPatternCheckFindsEveryDifference changes, drops, repeats and mixes.
func TestPatternCheckFindsEveryDifference(t *testing.T) {
	fill := func(p Pattern, offset int64) []byte {
		b := make([]byte, 256)
		p.Fill(b, offset)
		return b
	}
	if err := Pattern(1).Check(fill(1, 77), 77); err != nil {
		t.Errorf("the right bytes: %v", err)
	}
	changed := fill(1, 77)
	changed[100] ^= 1
	for name, got := range map[string][]byte{
		"another stream":  fill(2, 77),
		"a dropped byte":  fill(1, 78),
		"a repeated byte": fill(1, 76),
		"a changed bit":   changed,
	} {
		if Pattern(1).Check(got, 77) == nil {
			t.Errorf("%s is not found", name)
		}
	}
}
