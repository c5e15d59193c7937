package loop

// blocks are the buffers of layered sockets, which hold opened and sealed bytes
// only while those are on their way. They belong to a loop.
type blocks struct {
	small, large [][]byte
}

// sealedSize is how large a block for n bytes to be sealed is: each record adds
// at most recordOverhead.
func sealedSize(n int) int { return n + (n/recordPlain+2)*recordOverhead }

// take returns a block of at least n bytes.
func (k *blocks) take(n int) []byte {
	list, size := &k.small, blockSmall
	if n > blockSmall {
		list, size = &k.large, blockLarge
	}
	if n > blockLarge {
		return make([]byte, n)
	}
	if last := len(*list) - 1; last >= 0 {
		b := (*list)[last]
		*list = (*list)[:last]
		return b
	}
	return make([]byte, size)
}

// give takes a block back that nobody uses any more. Blocks that have grown, and
// more than are kept, are the collector's.
func (k *blocks) give(b []byte) {
	switch {
	case cap(b) == blockSmall && len(k.small) < smallBlocksKept:
		k.small = append(k.small, b[:blockSmall])
	case cap(b) == blockLarge && len(k.large) < largeBlocksKept:
		k.large = append(k.large, b[:blockLarge])
	}
}
