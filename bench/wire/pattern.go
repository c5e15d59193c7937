package wire

import "bytes"

// patternPeriod is the distance in bytes after which the pattern repeats; a
// prime, so that a chunk that is lost or doubled never lines up again.
const patternPeriod = 251

// pattern is long enough to hold PatternChunkMax bytes from any phase.
var pattern = func() []byte {
	p := make([]byte, PatternChunkMax+patternPeriod)
	for i := range p {
		p[i] = byte(i % patternPeriod)
	}
	return p
}()

// PatternChunkMax is the most bytes one call of Pattern returns.
const PatternChunkMax = 64 << 10

// Pattern returns n bytes of the bulk payload as they stand offset bytes into
// a frame; n is at most PatternChunkMax. The memory is shared: read only.
func Pattern(offset int64, n int) []byte {
	phase := int(offset % patternPeriod)
	return pattern[phase : phase+n : phase+n]
}

// IsPattern reports whether p is what Pattern gives at offset.
func IsPattern(p []byte, offset int64) bool {
	for len(p) > 0 {
		n := min(len(p), PatternChunkMax)
		if !bytes.Equal(p[:n], Pattern(offset, n)) {
			return false
		}
		p = p[n:]
		offset += int64(n)
	}
	return true
}
