package deflate

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

// randomCode returns lengths of a code that uses every combination of bits: a leaf
// is split until there are so many symbols, some deep and some not.
func randomCode(random *rand.Rand, symbols int) []uint8 {
	leaves := []uint8{0}
	for len(leaves) < symbols {
		i := len(leaves) - 1
		if random.IntN(3) > 0 {
			i = random.IntN(len(leaves))
		}
		if leaves[i] == codeBitsMax {
			i = 0
			for leaves[i] == codeBitsMax {
				i++
			}
		}
		leaves[i]++
		leaves = append(leaves, leaves[i])
	}
	random.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
	return leaves
}

// Every code of every random tree is found in its table, whatever follows it, and
// the tables are large enough.
func TestBuild(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		for _, c := range []struct {
			root, symbols, places int
			kinds                 []entry
		}{
			{literalRoot, literalsMax, literalPlaces, literalKinds[:]},
			{distanceRoot, distancesMax, distancePlaces, distanceKinds[:]},
		} {
			lengths := randomCode(random, 2+random.IntN(c.symbols-1))
			table := make([]entry, c.places)
			if !build(table, uint(c.root), lengths, c.kinds) {
				t.Fatalf("no code: %v", lengths)
			}
			checkTable(t, table, c.root, lengths, c.kinds, random.Uint64())
		}
	}
}

// checkTable makes the codes anew, as RFC 1951 section 3.2.2 has it.
func checkTable(t *testing.T, table []entry, root int, lengths []uint8, kinds []entry, behind uint64) {
	t.Helper()
	code := uint64(0)
	for n := uint8(1); n <= codeBitsMax; n++ {
		for symbol, length := range lengths {
			if length != n {
				continue
			}
			b := bits.Reverse64(code)>>(64-n) | behind<<n
			e := table[b&(1<<root-1)]
			if e&entrySecond == entrySecond {
				e = table[e.place(b>>root)]
			}
			if e != kinds[symbol]|entry(n) {
				t.Fatalf("symbol %d with %d bits: %x", symbol, n, e)
			}
			code++
		}
		code <<= 1
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		lengths []uint8
		ok      bool
	}{
		"none":                {[]uint8{0, 0, 0}, true},
		"one of one bit":      {[]uint8{0, 1, 0}, true},
		"one of two bits":     {[]uint8{0, 2, 0}, false},
		"two of one bit":      {[]uint8{1, 1}, true},
		"three of one bit":    {[]uint8{1, 1, 1}, false},
		"room left":           {[]uint8{1, 2, 3}, false},
		"no room left":        {[]uint8{1, 2, 3, 3}, true},
		"one more than fits":  {[]uint8{1, 2, 3, 3, 15}, false},
		"longest, and others": {[]uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15}, true},
	} {
		if ok := build(make([]entry, distancePlaces), distanceRoot, c.lengths, distanceKinds[:]); ok != c.ok {
			t.Errorf("%s: %v, want %v", name, ok, c.ok)
		}
	}
}
